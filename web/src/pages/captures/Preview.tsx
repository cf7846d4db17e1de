import type { CaptureReport } from "../../api/types";
import { Card } from "../../components/Page";
import { SeverityMark } from "../../components/Severity";
import { previewSentence } from "../../lib/captures";
import { count, plain } from "../../lib/words";
import classes from "../Captures.module.css";

/** What would be imported: said before anything is stored. */
export function Preview({ report }: { report: CaptureReport }) {
  return (
    <section aria-label="What was understood">
      <Card>
        <p className={classes.sentence} role="status">
          {previewSentence(report)}
        </p>
        {report.understood.length > 0 ? <Pieces report={report} /> : null}
        <Contradictions report={report} />
        <Lines report={report} />
        <Unknown report={report} />
        <Findings report={report} />
      </Card>
    </section>
  );
}

function Pieces({ report }: { report: CaptureReport }) {
  return (
    <table className={classes.pieces}>
      <thead>
        <tr>
          <th scope="col">File</th>
          <th scope="col">Understood as</th>
          <th scope="col" className={classes.amount}>
            Lines
          </th>
        </tr>
      </thead>
      <tbody>
        {report.understood.map((piece) => (
          <tr key={`${piece.file} ${piece.what}`}>
            <th scope="row" className="mono">
              {piece.file}
            </th>
            <td>{piece.what}</td>
            <td className={classes.amount}>{piece.lines}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Contradictions({ report }: { report: CaptureReport }) {
  if (report.contradictions.length === 0) return null;
  return (
    <details className={classes.lines} open>
      <summary>{count(report.contradictions.length, "contradiction")}</summary>
      <ul>
        {report.contradictions.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
    </details>
  );
}

function Lines({ report }: { report: CaptureReport }) {
  const { not_understood: lines, not_understood_total: total } = report;
  if (total === 0) return null;
  return (
    <details className={classes.lines}>
      <summary>{count(total, "line was", "lines were")} not understood, and will not be imported</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section className={classes.scroll} tabIndex={0} aria-label="Lines that were not understood">
        <table className={classes.pieces}>
          <thead>
            <tr>
              <th scope="col">Line</th>
              <th scope="col">Text</th>
              <th scope="col">Why not</th>
            </tr>
          </thead>
          <tbody>
            {lines.map((line, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: two files may have one name, and the list never changes
              <tr key={index}>
                <th scope="row" className="mono">
                  {line.file}:{line.line}
                </th>
                <td className="mono">{line.text}</td>
                <td>{line.why}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {total > lines.length ? <p>{count(total - lines.length, "more line")}.</p> : null}
      </section>
    </details>
  );
}

function Unknown({ report }: { report: CaptureReport }) {
  const unknown = report.sections.filter((section) => section.state === "unknown");
  if (unknown.length === 0 || unknown.length === report.sections.length) return null;
  return (
    <details className={classes.lines}>
      <summary>Unknown of this host: {unknown.map((each) => plain(each.section)).join(", ")}</summary>
      <ul>
        {unknown.map((each) => (
          <li key={each.section}>
            {plain(each.section)}: {each.reason}
          </li>
        ))}
      </ul>
    </details>
  );
}

function Findings({ report }: { report: CaptureReport }) {
  if (report.findings.length === 0) return null;
  return (
    <section className={classes.lines} aria-label="Findings that it shows">
      <ul className={classes.list}>
        {report.findings.map((finding) => (
          <li key={`${finding.rule} ${finding.title}`} className={classes.finding}>
            <SeverityMark severity={finding.severity} state="open" />
            <span>{finding.title}</span>
            <span className="dimmed">{finding.confidence}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
