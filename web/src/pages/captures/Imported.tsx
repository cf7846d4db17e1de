import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { CircleCheck } from "lucide-react";
import type { CaptureReport } from "../../api/types";
import { Card } from "../../components/Page";
import { SeverityMark } from "../../components/Severity";
import { utc } from "../../lib/time";
import { TRANSITION } from "../../lib/words";
import classes from "../Captures.module.css";

/** What an import did, with the way to the host and its findings. */
export function Imported({ report, onNext }: { report: CaptureReport; onNext: () => void }) {
  const { host, findings, captured_at: at } = report;
  if (!host) return null;
  return (
    <section aria-label="Imported">
      <Card>
        <p className={classes.sentence} role="status">
          <CircleCheck size={14} aria-hidden />{" "}
          <Link to="/hosts/$id" params={{ id: host.id }}>
            {host.name}
          </Link>{" "}
          {host.is_new ? "was added" : "was brought up to date"}
          {at ? `, as it was at ${utc(at)}` : ""}.
        </p>
        {findings.length === 0 ? <p className={classes.words}>No rule found anything wrong in it.</p> : null}
        <ul className={classes.list} aria-label="Its findings">
          {findings.map((finding) => (
            <li key={finding.id} className={classes.finding}>
              <SeverityMark
                severity={finding.severity}
                state={finding.transition === "resolved" ? "resolved" : "open"}
              />
              {finding.id ? (
                <Link to="/findings/$id" params={{ id: finding.id }}>
                  {finding.title}
                </Link>
              ) : (
                <span>{finding.title}</span>
              )}
              <span className="dimmed">
                {finding.transition ? TRANSITION[finding.transition] : "open before"}
              </span>
            </li>
          ))}
        </ul>
        <Button mt="md" size="xs" variant="default" onClick={onNext}>
          Import another
        </Button>
      </Card>
    </section>
  );
}
