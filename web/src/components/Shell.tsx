// The frame of every page behind the sign-in: navigation, palette, connection and operator.

import { AppShell, Badge, Burger, Group, NavLink, ScrollArea, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { spotlight } from "@mantine/spotlight";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { useEffect } from "react";
import { startLive } from "../api/live";
import { overviewQuery } from "../api/queries";
import { ConnectionBadge } from "./ConnectionBadge";
import { Logo } from "./Logo";
import { OperatorMenu } from "./OperatorMenu";
import { Palette } from "./Palette";
import { usePages } from "./pages";
import classes from "./Shell.module.css";
import { useHotkeySequences } from "./useHotkeySequences";

export function Shell() {
  const queries = useQueryClient();
  const [opened, menu] = useDisclosure(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const overview = useQuery(overviewQuery);
  const pages = usePages();
  const critical = overview.data?.clients.reduce((sum, each) => sum + each.critical, 0) ?? 0;

  useEffect(() => startLive(queries), [queries]);
  useHotkeySequences(pages);

  return (
    <AppShell
      header={{ height: { base: 48, sm: 0 } }}
      navbar={{ width: 216, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding={0}
    >
      <a href="#content" className={classes.skip}>
        Skip to content
      </a>
      <AppShell.Header hiddenFrom="sm" className={classes.header}>
        <Group h="100%" px="sm" justify="space-between" wrap="nowrap">
          <Burger opened={opened} onClick={menu.toggle} size="sm" aria-label="Navigation" />
          <Logo />
          <ConnectionBadge />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar className={classes.navbar} aria-label="Main">
        <AppShell.Section className={classes.brand} visibleFrom="sm">
          <Link to="/" className={classes.home} aria-label="Portreeve, overview">
            <Logo />
          </Link>
        </AppShell.Section>
        <AppShell.Section px="xs" pb="xs">
          <UnstyledButton className={classes.search} onClick={spotlight.open}>
            <Search size={14} aria-hidden />
            <span>Search</span>
            <kbd className={classes.keys}>Ctrl K</kbd>
          </UnstyledButton>
        </AppShell.Section>
        <AppShell.Section grow component={ScrollArea} px="xs">
          {pages.map(({ to, label, icon: Icon }) => {
            const active = to === "/" ? path === "/" : path.startsWith(to);
            return (
              <NavLink
                key={to}
                renderRoot={(props) => <Link to={to} {...props} />}
                label={label}
                active={active}
                aria-current={active ? "page" : undefined}
                leftSection={<Icon size={16} aria-hidden />}
                rightSection={
                  to === "/findings" && critical > 0 ? (
                    <Badge className={classes.count} aria-label={`${critical} critical open`}>
                      {critical}
                    </Badge>
                  ) : null
                }
                className={classes.link}
                onClick={menu.close}
              />
            );
          })}
        </AppShell.Section>
        <AppShell.Section className={classes.foot}>
          <ConnectionBadge />
          <OperatorMenu />
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} className={classes.main}>
        <Outlet />
      </AppShell.Main>
      <Palette />
    </AppShell>
  );
}
