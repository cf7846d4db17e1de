import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { catalogQuery, sessionQuery } from "../api/queries";
import type { CatalogEntry } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { Choice, FilterBar } from "../components/Filters";
import { LoadMore } from "../components/LoadMore";
import { Page } from "../components/Page";
import { SearchBox } from "../components/SearchBox";
import { Chip, SeverityMark } from "../components/Severity";
import { Overrides } from "./catalog/Overrides";
import { OwnEntries } from "./catalog/OwnEntries";
import { Releases } from "./catalog/Releases";

const route = getRouteApi("/signed-in/catalog");

const KINDS = [
  { value: "all", label: "All" },
  { value: "bad-update", label: "Bad updates" },
  { value: "claim", label: "Services" },
  { value: "taker", label: "Takers" },
] as const;

const TABS = [
  { value: "entries", label: "Entries" },
  { value: "overrides", label: "Overrides" },
  { value: "own", label: "Own entries" },
  { value: "releases", label: "Releases" },
] as const;

const COLUMNS: Column<CatalogEntry>[] = [
  {
    id: "id",
    header: "Entry",
    width: "260px",
    cell: (entry) => <span className="mono">{entry.id}</span>,
  },
  {
    id: "kb",
    header: "KB",
    width: "120px",
    cell: (entry) =>
      entry.kb ? (
        <Link to="/updates/$kb" params={{ kb: entry.kb }} className="mono">
          {entry.kb}
        </Link>
      ) : null,
  },
  { id: "title", header: "What it tells of", cell: (entry) => entry.title },
  {
    id: "severity",
    header: "Severity",
    width: "110px",
    cell: (entry) => (entry.severity ? <SeverityMark severity={entry.severity} state="open" /> : null),
  },
  {
    id: "grounding",
    header: "Grounding",
    width: "120px",
    cell: (entry) => (
      <span title={entry.sources.join("\n") || "No source"}>
        {entry.verified ? `${entry.sources.length} read` : "recalled"}
      </span>
    ),
  },
  {
    id: "origin",
    header: "From",
    width: "110px",
    cell: (entry) => (entry.origin === "built-in" ? "built in" : <Chip tone="info">{entry.origin}</Chip>),
  },
];

/** What is known beforehand, and what this installation made of it. */
export function Catalog() {
  const { tab = "entries" } = route.useSearch();
  const navigate = route.useNavigate();
  const session = useQuery(sessionQuery);
  const isAdmin = session.data?.role === "admin";
  const tabs = isAdmin ? TABS : TABS.slice(0, 2);
  return (
    <Page title="Catalog">
      <FilterBar>
        <Choice
          label="Part of the catalog"
          value={tab}
          choices={tabs}
          onChoose={(next) => navigate({ search: { tab: next === "entries" ? undefined : next } })}
        />
      </FilterBar>
      {tab === "entries" ? <Entries /> : null}
      {tab === "overrides" ? <Overrides mayDecide={isAdmin} /> : null}
      {tab === "own" ? <OwnEntries /> : null}
      {tab === "releases" ? <Releases /> : null}
    </Page>
  );
}

function Entries() {
  const { q, kind } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(catalogQuery({ q, kind }));
  return (
    <>
      <FilterBar>
        <SearchBox
          label="Search the catalog"
          placeholder="KB, id, title or service"
          value={q}
          onSearch={(next) => navigate({ search: { kind, q: next }, replace: true })}
        />
        <Choice
          label="Kind"
          value={kind ?? "all"}
          choices={KINDS}
          onChoose={(next) => navigate({ search: { q, kind: next === "all" ? undefined : next } })}
        />
      </FilterBar>
      <Content query={query}>
        {(data) => {
          const entries = data.pages.flatMap((page) => page.items);
          if (entries.length === 0) {
            return (
              <Nothing title="No entry has all of these words">
                <Link to="/catalog">Show all entries</Link>
              </Nothing>
            );
          }
          return (
            <>
              <DataTable
                label="Entries of the catalog"
                rows={entries}
                columns={COLUMNS}
                rowId={(entry) => `${entry.kind}/${entry.id}`}
              />
              <LoadMore {...query} />
            </>
          );
        }}
      </Content>
    </>
  );
}
