// Findings as rows: one sentence each, with what it is about beside it. Shared by every page that lists findings.

import { Link } from "@tanstack/react-router";
import type { FindingSummary } from "../api/types";
import classes from "./FindingRows.module.css";
import { Chip, SeverityMark } from "./Severity";
import { When } from "./When";

type Props = {
  label: string;
  findings: FindingSummary[];
  /** Where the host is clear from the page, it is not repeated. */
  place?: "host-page";
};

export function FindingRows({ label, findings, place }: Props) {
  return (
    <ul className={classes.list} aria-label={label}>
      {findings.map((finding) => (
        <li key={finding.id} className={classes.row} data-state={finding.state}>
          <span className={classes.severity}>
            <SeverityMark severity={finding.severity} state={finding.state} />
          </span>
          <div className={classes.words}>
            <Link to="/findings/$id" params={{ id: finding.id }} className={classes.title}>
              {finding.title}
            </Link>
            <div className={classes.facts}>
              {place === "host-page" ? null : (
                <>
                  <Link to="/hosts/$id" params={{ id: finding.host.id }} className={classes.host}>
                    {finding.host.name}
                  </Link>
                  <span>
                    {finding.client.name} › {finding.site.name}
                  </span>
                </>
              )}
              <span className="mono">{finding.rule}</span>
              {finding.episode > 1 ? <span>episode {finding.episode}</span> : null}
              {finding.not_heard_since ? (
                <Chip tone="unknown" title="Nobody knows whether it is still so">
                  not heard of since <When at={finding.not_heard_since} />
                </Chip>
              ) : null}
              {finding.resolved_because ? <span>{finding.resolved_because}</span> : null}
              {finding.cannot_tell ? (
                <Chip tone="unknown" title={finding.cannot_tell}>
                  cannot tell at present
                </Chip>
              ) : null}
            </div>
          </div>
          <span className={classes.confidence}>{finding.confidence}</span>
          <span className={classes.when}>
            <When at={finding.state === "open" ? finding.opened_at : finding.resolved_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}
