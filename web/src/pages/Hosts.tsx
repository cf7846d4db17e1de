import { Button } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { type HostFilter, hostsQuery } from "../api/queries";
import type { HostSummary } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { Choice, ClientFilter, FilterBar } from "../components/Filters";
import { FirstServer } from "../components/FirstServer";
import { FreshnessMark } from "../components/FreshnessMark";
import { LoadMore } from "../components/LoadMore";
import { Page } from "../components/Page";
import { SearchBox } from "../components/SearchBox";
import { SeverityCount } from "../components/Severity";
import { When } from "../components/When";
import classes from "./Hosts.module.css";

const route = getRouteApi("/signed-in/hosts");

const STATES = [
  { value: "any", label: "Any" },
  { value: "reporting", label: "Reporting" },
  { value: "stale", label: "Stale" },
  { value: "silent", label: "Silent" },
  { value: "capture", label: "Capture" },
  { value: "retired", label: "Retired" },
] as const;

const COLUMNS: Column<HostSummary>[] = [
  {
    id: "name",
    header: "Host",
    width: "20%",
    cell: (host) => (
      <Link to="/hosts/$id" params={{ id: host.id }} className={classes.name}>
        {host.name}
      </Link>
    ),
  },
  {
    id: "place",
    header: "Client › site",
    width: "22%",
    cell: (host) => (
      <>
        {host.client.name} <span className="dimmed">› {host.site.name}</span>
      </>
    ),
  },
  {
    id: "system",
    header: "System",
    width: "24%",
    cell: (host) =>
      host.os_name ? (
        <>
          {host.os_name} <span className={classes.build}>{host.os_build}</span>
        </>
      ) : (
        <span className="dimmed">not reported yet</span>
      ),
  },
  {
    id: "open",
    header: "Open findings",
    width: "16%",
    cell: (host) => <OpenFindings open={host.open} />,
  },
  {
    id: "freshness",
    header: "State",
    width: "10%",
    cell: (host) => <FreshnessMark freshness={host.freshness} />,
  },
  {
    id: "seen",
    header: "Last heard of",
    align: "right",
    width: "10%",
    cell: (host) => <When at={host.last_seen_at} />,
  },
];

export function Hosts() {
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(hostsQuery(filter));
  const change = (part: Partial<HostFilter>) =>
    navigate({ search: (before) => ({ ...before, ...part }), replace: "q" in part });

  return (
    <Page
      title="Hosts"
      actions={
        <Button renderRoot={(props) => <Link to="/captures" {...props} />} variant="default" size="xs">
          Add a server without an agent
        </Button>
      }
    >
      <FilterBar>
        <SearchBox
          label="Search hosts"
          placeholder="Host, site or system"
          value={filter.q}
          onSearch={(q) => change({ q })}
        />
        <Choice
          label="State"
          value={filter.state ?? "any"}
          choices={STATES}
          onChoose={(state) => change({ state: state === "any" ? undefined : state })}
        />
        <ClientFilter value={filter.client} onChoose={(client) => change({ client })} />
      </FilterBar>
      <Content query={query}>
        {(data) => {
          const hosts = data.pages.flatMap((page) => page.items);
          if (hosts.length === 0) return <Empty filter={filter} />;
          return (
            <>
              <DataTable label="Hosts" rows={hosts} columns={COLUMNS} rowId={(host) => String(host.id)} />
              <LoadMore {...query} />
            </>
          );
        }}
      </Content>
    </Page>
  );
}

function OpenFindings({ open }: Pick<HostSummary, "open">) {
  if (open.critical + open.warning + open.info === 0) return <span className="dimmed">none</span>;
  return (
    <span className={classes.open}>
      <SeverityCount severity="critical" count={open.critical} />
      <SeverityCount severity="warning" count={open.warning} />
      <SeverityCount severity="info" count={open.info} />
    </span>
  );
}

function Empty({ filter }: { filter: HostFilter }) {
  if (Object.values(filter).some((value) => value !== undefined)) {
    return (
      <Nothing title="No host fits these filters">
        <Link to="/hosts">Show all hosts</Link>
      </Nothing>
    );
  }
  return <FirstServer />;
}
