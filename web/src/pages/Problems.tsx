import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { type ProblemFilter, problemsQuery } from "../api/queries";
import type { ProblemSummary } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { Choice, ClientFilter, FilterBar } from "../components/Filters";
import classes from "../components/FindingRows.module.css";
import { LoadMore } from "../components/LoadMore";
import { Page } from "../components/Page";
import { SeverityMark } from "../components/Severity";
import { When } from "../components/When";
import { problemExtent, problemParams } from "../lib/words";

const route = getRouteApi("/signed-in/problems");

const STATES = [
  { value: "open", label: "Open" },
  { value: "resolved", label: "Resolved" },
  { value: "all", label: "All" },
] as const;

export function Problems() {
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(problemsQuery(filter));
  const change = (part: Partial<ProblemFilter>) => navigate({ search: (before) => ({ ...before, ...part }) });

  return (
    <Page title="Problems" below="Findings of one cause, wherever they are">
      <FilterBar>
        <Choice
          label="State"
          value={filter.state ?? "open"}
          choices={STATES}
          onChoose={(state) => change({ state: state === "open" ? undefined : state })}
        />
        <ClientFilter value={filter.client} onChoose={(client) => change({ client })} />
      </FilterBar>
      <Content query={query}>
        {(data) => {
          const problems = data.pages.flatMap((page) => page.items);
          if (problems.length === 0) return <Empty filter={filter} />;
          return (
            <>
              <ul className={classes.list} aria-label="Problems">
                {problems.map((problem) => (
                  <Row key={problem.key} problem={problem} />
                ))}
              </ul>
              <LoadMore {...query} />
            </>
          );
        }}
      </Content>
    </Page>
  );
}

function Row({ problem }: { problem: ProblemSummary }) {
  return (
    <li className={classes.row} data-state={problem.state}>
      <span className={classes.severity}>
        <SeverityMark severity={problem.severity} state={problem.state} />
      </span>
      <div className={classes.words}>
        <Link to="/problems/$family/$" params={problemParams(problem.key)} className={classes.title}>
          {problem.title}
        </Link>
        <div className={classes.facts}>
          <span className={classes.host}>{problemExtent(problem)}</span>
          <span className="mono">{problem.key}</span>
          {problem.episode > 1 ? <span>episode {problem.episode}</span> : null}
        </div>
      </div>
      <span className={classes.confidence}>{problem.confidence}</span>
      <span className={classes.when}>
        <When at={problem.state === "open" ? problem.opened_at : problem.resolved_at} />
      </span>
    </li>
  );
}

function Empty({ filter }: { filter: ProblemFilter }) {
  if (filter.client !== undefined) {
    return (
      <Nothing title="No problem of this client fits">
        <Link to="/problems">Show all open problems</Link>
      </Nothing>
    );
  }
  if (filter.state === "resolved") return <Nothing title="No problem has been resolved yet" />;
  return (
    <Nothing title="No problem is open">
      A problem opens with its first finding, and lasts until the last one with the same cause is resolved.
    </Nothing>
  );
}
