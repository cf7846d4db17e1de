import { Alert } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Fragment } from "react";
import { overviewQuery } from "../api/queries";
import type { Outlook, Overview as OverviewData } from "../api/types";
import { Content } from "../components/Content";
import { FindingRows } from "../components/FindingRows";
import { FirstServer } from "../components/FirstServer";
import { Page, Section } from "../components/Page";
import { Chip, SeverityCount } from "../components/Severity";
import { VerdictChip } from "../components/VerdictChip";
import { When } from "../components/When";
import { expected } from "../lib/forecast";
import { count, FRESHNESS, overviewClauses, TRANSITION } from "../lib/words";
import classes from "./Overview.module.css";

export function Overview() {
  const query = useQuery(overviewQuery);
  return (
    <Page title="Overview" heading={query.data ? <Answer overview={query.data} /> : "Overview"}>
      <Content query={query}>
        {(overview) => (overview.fleet.total === 0 ? <FirstServer /> : <Body overview={overview} />)}
      </Content>
    </Page>
  );
}

/** The state of the fleet in one sentence, each clause a link. */
function Answer({ overview }: { overview: OverviewData }) {
  if (overview.fleet.total === 0) return "No server reports yet.";
  const clauses = overviewClauses(overview);
  return (
    <>
      {clauses.map((clause, index) => (
        <Fragment key={clause.text}>
          {index > 0 ? "; " : null}
          <Link
            to={clause.to}
            search={clause.search as never}
            className={classes.clause}
            data-tone={clause.tone}
          >
            {clause.text}
          </Link>
        </Fragment>
      ))}
      .
    </>
  );
}

function Body({ overview }: { overview: OverviewData }) {
  return (
    <div className={classes.columns}>
      <div>
        <Held held={overview.deliveries_held} />
        <Section title="Worst findings" aside={<Link to="/findings">All open findings</Link>}>
          {overview.worst.length > 0 ? (
            <FindingRows label="Worst findings" findings={overview.worst} />
          ) : (
            <p className={classes.quiet}>No finding is open.</p>
          )}
        </Section>
        <RecentUpdates updates={overview.recent_updates} />
      </div>
      <div>
        <Clients clients={overview.clients} />
        <NextReboot outlook={overview.next_reboot} />
        <Fleet fleet={overview.fleet} />
        <Timeline recent={overview.recent} />
      </div>
    </div>
  );
}

/** Until somebody releases them after a restore, no webhook goes out: nobody should have to find that out. */
function Held({ held }: { held: OverviewData["deliveries_held"] }) {
  if (!held) return null;
  return (
    <Alert color="yellow" variant="light" mb="sm" role="status" title="Webhooks are held">
      This server was restored <When at={held.restored_at} /> from a backup of <When at={held.backup_at} />.
      No webhook is sent until an administrator runs{" "}
      <span className="mono">portreeve-server deliveries release</span>.
    </Alert>
  );
}

function Clients({ clients }: Pick<OverviewData, "clients">) {
  return (
    <Section title="Open findings by client">
      <ul className={classes.panel} aria-label="Open findings by client">
        {clients.map(({ client, hosts, critical, warning, info, unknown }) => (
          <li key={client.id} className={classes.line}>
            <div className={classes.lineWords}>
              <Link to="/findings" search={{ client: client.id }} className={classes.name}>
                {client.name}
              </Link>
              <span className={classes.small}>{count(hosts, "host")}</span>
            </div>
            <span className={classes.counts}>
              {critical + warning + info + unknown === 0 ? <Chip tone="good">nothing open</Chip> : null}
              <SeverityCount severity="critical" count={critical} />
              <SeverityCount severity="warning" count={warning} />
              <SeverityCount severity="info" count={info} />
              {unknown > 0 ? (
                <Chip tone="unknown" title={`On ${count(unknown, "host")} something cannot be told`}>
                  {unknown} cannot tell
                </Chip>
              ) : null}
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function NextReboot({ outlook }: { outlook: Outlook }) {
  return (
    <Section title="Next reboot" aside={<Link to="/reboot">The plan</Link>}>
      <div className={classes.panel}>
        <div className={classes.line}>
          <span className={classes.figure} data-tone={outlook.expected > 0 ? "possible" : "fine"}>
            {expected(outlook.expected)}
          </span>
          <span className={classes.figureWords}>
            {outlook.services === 0
              ? "No service is known to be at risk"
              : `services expected to fail, of ${outlook.services} at risk on ${count(outlook.hosts, "host")}; none with the plan`}
          </span>
        </div>
      </div>
    </Section>
  );
}

const FRESHNESS_ORDER = ["reporting", "stale", "silent", "capture"] as const;

function Fleet({ fleet }: Pick<OverviewData, "fleet">) {
  return (
    <Section title="Fleet" aside={<Link to="/hosts">{count(fleet.total, "host")}</Link>}>
      <div className={classes.panel}>
        <div className={classes.bar} aria-hidden>
          {FRESHNESS_ORDER.filter((each) => fleet[each] > 0).map((each) => (
            <span key={each} data-freshness={each} style={{ flexGrow: fleet[each] }} />
          ))}
        </div>
        <ul className={classes.legend} aria-label="Hosts by freshness">
          {FRESHNESS_ORDER.map((each) => (
            <li key={each} title={FRESHNESS[each].explanation}>
              <Link to="/hosts" search={{ state: each }} className={classes.legendLink}>
                <span className={classes.swatch} data-freshness={each} aria-hidden />
                <span>{FRESHNESS[each].word}</span>
                <span className="number">{fleet[each]}</span>
              </Link>
            </li>
          ))}
        </ul>
      </div>
    </Section>
  );
}

/** As many events as stand beside the rest of the page. */
const LATELY = 12;

function Timeline({ recent }: Pick<OverviewData, "recent">) {
  return (
    <Section title="Lately">
      {recent.length === 0 ? (
        <p className={classes.quiet}>Nothing opened or was resolved yet.</p>
      ) : (
        <ol className={classes.panel} aria-label="What happened lately">
          {recent.slice(0, LATELY).map(({ at, transition, finding }) => (
            <li key={`${finding.id}-${at}-${transition}`} className={classes.event}>
              <span className={classes.dot} data-transition={transition} aria-hidden />
              <div>
                <span className={classes.transition}>{TRANSITION[transition]}</span>{" "}
                <Link to="/findings/$id" params={{ id: finding.id }} className={classes.eventTitle}>
                  {finding.title}
                </Link>
                <div className={classes.small}>
                  {finding.host.name} · {finding.client.name} · <When at={at} />
                </div>
              </div>
            </li>
          ))}
        </ol>
      )}
    </Section>
  );
}

function RecentUpdates({ updates }: { updates: OverviewData["recent_updates"] }) {
  return (
    <Section title="Updates that arrived lately" aside={<Link to="/updates">All updates</Link>}>
      {updates.length === 0 ? (
        <p className={classes.quiet}>No update is known yet.</p>
      ) : (
        <ul className={classes.panel} aria-label="Updates that arrived lately">
          {updates.map((update) => (
            <li key={update.kb} className={classes.update}>
              <Link to="/updates/$kb" params={{ kb: update.kb }} className="mono">
                {update.kb}
              </Link>
              <span className={classes.updateTitle}>{update.title}</span>
              <VerdictChip verdict={update.verdict} />
              <span className={classes.small}>{count(update.hosts, "host")}</span>
              <span className={classes.small}>
                <When at={update.first_installed_at} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
