import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { hostUpdatesQuery } from "../../api/queries";
import type { HostUpdate } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { FilterBar } from "../../components/Filters";
import { SearchBox } from "../../components/SearchBox";
import { SectionNote } from "../../components/SectionNote";
import { VerdictChip } from "../../components/VerdictChip";
import { day, utc } from "../../lib/time";
import { plain } from "../../lib/words";
import classes from "./tables.module.css";
import { holds, useTableSearch } from "./useTableSearch";

const COLUMNS: Column<HostUpdate>[] = [
  {
    id: "kb",
    header: "KB",
    width: "110px",
    value: (update) => update.kb,
    cell: (update) =>
      update.kb ? (
        <Link to="/updates/$kb" params={{ kb: update.kb }} className="mono">
          {update.kb}
        </Link>
      ) : (
        <span className="dimmed">none</span>
      ),
  },
  {
    id: "title",
    header: "Title",
    value: (update) => update.title.toLowerCase(),
    cell: (update) => (
      <>
        {update.title || update.id}
        {update.version ? <span className={classes.small}> {update.version}</span> : null}
        {update.aliases.length > 0 || update.installed_by ? (
          <div className={classes.small}>
            {update.aliases.length > 0 ? `also known as ${update.aliases.join(", ")} ` : null}
            {update.installed_by ? `by ${update.installed_by}` : null}
          </div>
        ) : null}
      </>
    ),
  },
  {
    id: "verdict",
    header: "Verdict",
    width: "140px",
    value: (update) => update.verdict,
    cell: (update) =>
      update.finding_id ? (
        <Link to="/findings/$id" params={{ id: update.finding_id }}>
          <VerdictChip verdict={update.verdict} />
        </Link>
      ) : (
        <VerdictChip verdict={update.verdict} />
      ),
  },
  {
    id: "state",
    header: "State",
    width: "130px",
    value: (update) => update.state,
    cell: (update) => plain(update.state),
  },
  {
    id: "source",
    header: "Source",
    width: "150px",
    value: (update) => update.source,
    cell: (update) => plain(update.source),
  },
  {
    id: "removable",
    header: "Removable",
    width: "100px",
    cell: (update) =>
      update.removable === null ? <span className="dimmed">not known</span> : update.removable ? "yes" : "no",
  },
  {
    id: "installed",
    header: "Installed",
    align: "right",
    width: "110px",
    value: (update) => update.installed_at,
    cell: (update) =>
      update.installed_at ? (
        <time dateTime={update.installed_at} title={utc(update.installed_at)}>
          {day(update.installed_at)}
        </time>
      ) : (
        <span className="dimmed">not known</span>
      ),
  },
];

export function HostUpdates({ id }: { id: number }) {
  const { q, sort, at, onSearch, onSort } = useTableSearch();
  const query = useQuery(hostUpdatesQuery(id, at));
  return (
    <>
      <FilterBar>
        <SearchBox label="Search updates" placeholder="KB or title" value={q} onSearch={onSearch} />
      </FilterBar>
      <Content query={query}>
        {(data) => {
          const updates = data.items.filter((update) =>
            holds(q, update.kb, update.title, update.id, ...update.aliases),
          );
          return (
            <>
              <SectionNote section={data.updates} consequence="Shown is what was known last." />
              {updates.length === 0 ? (
                <Nothing title={q ? "No update fits this search" : "No update is known"} />
              ) : (
                <DataTable
                  label="Updates"
                  rows={updates}
                  columns={COLUMNS}
                  rowId={(update) => `${update.source} ${update.id}`}
                  sort={sort}
                  onSort={onSort}
                />
              )}
            </>
          );
        }}
      </Content>
    </>
  );
}
