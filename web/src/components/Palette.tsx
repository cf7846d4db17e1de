// Ctrl/⌘-K: pages, and a search over hosts and findings.

import { useDebouncedValue } from "@mantine/hooks";
import { Spotlight, type SpotlightActionData, type SpotlightActionGroupData } from "@mantine/spotlight";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Plug, Search, Server, TriangleAlert } from "lucide-react";
import { useState } from "react";
import { findingsQuery, hostsQuery } from "../api/queries";
import { usePages } from "./pages";

const AT_MOST = 6;

export function Palette() {
  const navigate = useNavigate();
  const known = usePages();
  const [query, setQuery] = useState("");
  const [settled] = useDebouncedValue(query.trim(), 150);
  const enabled = settled.length >= 2;
  const hosts = useInfiniteQuery({ ...hostsQuery({ q: settled }), enabled });
  const findings = useInfiniteQuery({ ...findingsQuery({ q: settled, state: "open" }), enabled });

  const pages: SpotlightActionData[] = known
    .map((page) => ({ ...page, said: "more" in page ? `${page.label}: ${page.more}` : page.label }))
    .filter(({ said }) => said.toLowerCase().includes(query.trim().toLowerCase()))
    .map(({ to, said, icon: Icon }) => ({
      id: to,
      label: said,
      leftSection: <Icon size={16} />,
      onClick: () => navigate({ to }),
    }));

  const foundHosts = enabled ? (hosts.data?.pages[0]?.items ?? []).slice(0, AT_MOST) : [];
  const foundFindings = enabled ? (findings.data?.pages[0]?.items ?? []).slice(0, AT_MOST) : [];
  const port = /^(tcp|udp)\/(\d{1,5})$/i.exec(settled);
  const groups: SpotlightActionGroupData[] = [
    {
      group: "Ports",
      actions: port
        ? [
            {
              id: "port",
              label: `Who has ${settled.toLowerCase()}, now and at any time`,
              leftSection: <Plug size={16} />,
              onClick: () =>
                navigate({
                  to: "/ports/$protocol/$port",
                  params: { protocol: (port[1] ?? "").toLowerCase(), port: Number(port[2]) },
                }),
            },
          ]
        : [],
    },
    { group: "Pages", actions: pages },
    {
      group: "Hosts",
      actions: foundHosts.map((host) => ({
        id: `host-${host.id}`,
        label: host.name,
        description: `${host.client.name} › ${host.site.name}`,
        leftSection: <Server size={16} />,
        onClick: () => navigate({ to: "/hosts/$id", params: { id: host.id } }),
      })),
    },
    {
      group: "Findings",
      actions: foundFindings.map((finding) => ({
        id: `finding-${finding.id}`,
        label: finding.title,
        description: `${finding.host.name} · ${finding.client.name}`,
        leftSection: <TriangleAlert size={16} />,
        onClick: () => navigate({ to: "/findings/$id", params: { id: finding.id } }),
      })),
    },
  ].filter((group) => group.actions.length > 0);

  return (
    <Spotlight
      actions={groups}
      filter={(_, actions) => actions}
      query={query}
      onQueryChange={setQuery}
      nothingFound={enabled && (hosts.isFetching || findings.isFetching) ? "Searching…" : "Nothing found"}
      shortcut="mod + K"
      tagsToIgnore={[]}
      scrollable
      maxHeight={420}
      searchProps={{
        leftSection: <Search size={16} aria-hidden />,
        placeholder: "A page, a host, a finding, a KB, udp/1812 …",
        "aria-label": "Search everything",
      }}
    />
  );
}
