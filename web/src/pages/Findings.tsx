import { Button, CloseButton } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { ArrowUp } from "lucide-react";
import { useState } from "react";
import { type FindingFilter, findingsQuery } from "../api/queries";
import type { FindingSummary } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { Choice, ClientFilter, FilterBar } from "../components/Filters";
import { FindingRows } from "../components/FindingRows";
import { LoadMore } from "../components/LoadMore";
import { Page } from "../components/Page";
import { SearchBox } from "../components/SearchBox";
import { splitWaiting } from "../lib/waiting";
import classes from "./Findings.module.css";

const route = getRouteApi("/signed-in/findings");

const STATES = [
  { value: "open", label: "Open" },
  { value: "resolved", label: "Resolved" },
  { value: "all", label: "All" },
] as const;

const SEVERITIES = [
  { value: "any", label: "Any severity" },
  { value: "critical", label: "Critical" },
  { value: "warning", label: "Warning" },
  { value: "info", label: "Info" },
] as const;

export function Findings() {
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(findingsQuery(filter));
  const change = (part: Partial<FindingFilter>) =>
    navigate({ search: (before) => ({ ...before, ...part }), replace: "q" in part });

  return (
    <Page title="Findings">
      <FilterBar>
        <SearchBox
          label="Search findings"
          placeholder="Title, cause or host"
          value={filter.q}
          onSearch={(q) => change({ q })}
        />
        <Choice
          label="State"
          value={filter.state ?? "open"}
          choices={STATES}
          onChoose={(state) => change({ state: state === "open" ? undefined : state })}
        />
        <Choice
          label="Severity"
          value={filter.severity ?? "any"}
          choices={SEVERITIES}
          onChoose={(severity) => change({ severity: severity === "any" ? undefined : severity })}
        />
        <ClientFilter value={filter.client} onChoose={(client) => change({ client })} />
        <Narrowed label="Rule" value={filter.rule} onClear={() => change({ rule: undefined })} />
        <Narrowed
          label="Not heard of"
          value={filter.stale ? "stale" : undefined}
          onClear={() => change({ stale: undefined })}
        />
        <Narrowed
          label="Confidence"
          value={filter.confidence}
          onClear={() => change({ confidence: undefined })}
        />
        <Narrowed
          label="Host"
          value={filter.host === undefined ? undefined : `#${filter.host}`}
          onClear={() => change({ host: undefined })}
        />
      </FilterBar>
      <Content query={query}>
        {(data) => (
          <>
            <Rows
              key={JSON.stringify(filter)}
              findings={data.pages.flatMap((page) => page.items)}
              settled={!query.isPlaceholderData}
              filter={filter}
            />
            <LoadMore {...query} />
          </>
        )}
      </Content>
    </Page>
  );
}

/** A filter that came with a link and has no control of its own. */
function Narrowed({
  label,
  value,
  onClear,
}: {
  label: string;
  value: string | undefined;
  onClear: () => void;
}) {
  if (value === undefined) return null;
  return (
    <span className={classes.narrowed}>
      <span className="dimmed">{label}</span> <span className="mono">{value}</span>
      <CloseButton size="xs" aria-label={`Any ${label.toLowerCase()}`} onClick={onClear} />
    </span>
  );
}

type RowsProps = { findings: FindingSummary[]; settled: boolean; filter: FindingFilter };

function Rows({ findings, settled, filter }: RowsProps) {
  const [accepted, setAccepted] = useState<ReadonlySet<string>>();
  const { shown, waiting } = splitWaiting(findings, accepted);
  if (settled && shown.some((finding) => !accepted?.has(finding.id))) {
    setAccepted(new Set([...(accepted ?? []), ...shown.map((finding) => finding.id)]));
  }

  if (findings.length === 0) return <Empty filter={filter} />;
  return (
    <>
      {waiting.length > 0 ? (
        <div className={classes.waiting} role="status">
          <Button
            size="xs"
            leftSection={<ArrowUp size={14} aria-hidden />}
            onClick={() => setAccepted(new Set(findings.map((finding) => finding.id)))}
          >
            {waiting.length} new
          </Button>
        </div>
      ) : null}
      <FindingRows label="Findings" findings={shown} />
    </>
  );
}

function Empty({ filter }: { filter: FindingFilter }) {
  const { state = "open", ...narrowing } = filter;
  const narrowed = Object.values(narrowing).some((value) => value !== undefined);
  if (narrowed) {
    return (
      <Nothing title="No finding fits these filters">
        <Link to="/findings">Show all open findings</Link>
      </Nothing>
    );
  }
  if (state === "resolved") return <Nothing title="No finding has been resolved yet" />;
  return (
    <Nothing title="No finding is open">
      Findings open by themselves when a report shows that a service lost its port, or that a known-bad update
      is installed.
    </Nothing>
  );
}
