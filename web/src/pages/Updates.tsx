import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { updatesQuery } from "../api/queries";
import type { UpdateSummary } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { FilterBar } from "../components/Filters";
import { LoadMore } from "../components/LoadMore";
import { Page } from "../components/Page";
import { SearchBox } from "../components/SearchBox";
import { Chip } from "../components/Severity";
import { Suspects } from "../components/Suspects";
import { VerdictChip } from "../components/VerdictChip";
import { When } from "../components/When";

const route = getRouteApi("/signed-in/updates");

const COLUMNS: Column<UpdateSummary>[] = [
  {
    id: "kb",
    header: "KB",
    width: "120px",
    cell: (update) => (
      <Link to="/updates/$kb" params={{ kb: update.kb }} className="mono">
        {update.kb}
      </Link>
    ),
  },
  { id: "title", header: "Title, as hosts list it", cell: (update) => update.title },
  {
    id: "verdict",
    header: "Verdict",
    width: "170px",
    cell: (update) =>
      update.verdict === null && update.entries.length > 0 ? (
        <Chip
          tone="info"
          title="The catalog knows it as bad under conditions that no host here is known to meet"
        >
          bad elsewhere
        </Chip>
      ) : (
        <VerdictChip verdict={update.verdict} />
      ),
  },
  { id: "hosts", header: "Hosts", align: "right", width: "80px", cell: (update) => update.hosts },
  {
    id: "first",
    header: "First installed",
    align: "right",
    width: "130px",
    cell: (update) => <When at={update.first_installed_at} />,
  },
  {
    id: "last",
    header: "Last installed",
    align: "right",
    width: "130px",
    cell: (update) => <When at={update.last_installed_at} />,
  },
];

export function Updates() {
  const { q } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(updatesQuery(q));
  return (
    <Page title="Updates">
      <FilterBar>
        <SearchBox
          label="Search updates"
          placeholder="KB or title"
          value={q}
          onSearch={(next) => navigate({ search: { q: next }, replace: true })}
        />
      </FilterBar>
      <Suspects />
      <Content query={query}>
        {(data) => {
          const updates = data.pages.flatMap((page) => page.items);
          if (updates.length === 0) {
            return q ? (
              <Nothing title="No update has this in its KB or title">
                <Link to="/updates">Show all updates</Link>
              </Nothing>
            ) : (
              <Nothing title="No update is known yet">
                Updates appear with the first report of a host.
              </Nothing>
            );
          }
          return (
            <>
              <DataTable label="Updates" rows={updates} columns={COLUMNS} rowId={(update) => update.kb} />
              <LoadMore {...query} />
            </>
          );
        }}
      </Content>
    </Page>
  );
}
