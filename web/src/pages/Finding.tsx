import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { findingQuery, hostQuery } from "../api/queries";
import type { Finding } from "../api/types";
import { Content } from "../components/Content";
import { CopyAll } from "../components/Copy";
import { Fact, Facts } from "../components/Facts";
import { Card, Page, Section } from "../components/Page";
import { Chip, SeverityMark } from "../components/Severity";
import { RESTART, Steps } from "../components/Steps";
import { HostMoment, When } from "../components/When";
import { commandsInOneGo, script, scriptName } from "../lib/remedy";
import { count, plain, problemParams, TRANSITION } from "../lib/words";
import classes from "./Finding.module.css";

const route = getRouteApi("/signed-in/findings/$id");

export function FindingPage() {
  const { id } = route.useParams();
  const query = useQuery(findingQuery(id));
  const finding = query.data;
  return (
    <Page
      title={finding?.title ?? "Finding"}
      above={
        <>
          <Link to="/findings">Findings</Link>
          {finding ? (
            <>
              <span aria-hidden>/</span>
              <span className="mono">{finding.rule}</span>
            </>
          ) : null}
        </>
      }
      below={finding ? <Where finding={finding} /> : null}
    >
      <Content query={query}>{(data) => <Body finding={data} />}</Content>
    </Page>
  );
}

function Where({ finding }: { finding: Finding }) {
  return (
    <>
      <SeverityMark severity={finding.severity} state={finding.state} />
      <span>{finding.confidence}</span>
      <span>
        <Link to="/hosts/$id" params={{ id: finding.host.id }}>
          {finding.host.name}
        </Link>{" "}
        ({finding.client.name} › {finding.site.name})
      </span>
      {finding.state === "open" ? (
        <span>
          opened <When at={finding.opened_at} />
        </span>
      ) : (
        <span>
          resolved <When at={finding.resolved_at} />
        </span>
      )}
      {finding.episode > 1 ? <span>episode {finding.episode}</span> : null}
    </>
  );
}

function Body({ finding }: { finding: Finding }) {
  // The host's offset from UTC: its times are shown as its own clock had them.
  const host = useQuery(hostQuery(finding.host.id));
  const offset = host.data?.facts.host?.utc_offset_minutes;
  return (
    <div className={classes.columns}>
      <div>
        <p className={classes.cause}>{finding.cause}</p>
        {finding.cannot_tell ? (
          <div className={classes.unknown}>
            <Chip tone="unknown">cannot tell at present</Chip> {finding.cannot_tell}
          </div>
        ) : null}
        {finding.probability !== null && finding.probability !== undefined ? (
          <p className={classes.probability}>
            At the next boot: <strong>{(finding.probability * 100).toFixed(1)} %</strong> without the remedy.
          </p>
        ) : null}
        <Evidence finding={finding} offset={offset} />
        <Changes finding={finding} offset={offset} />
        <Remedy finding={finding} />
      </div>
      <div>
        <About finding={finding} offset={offset} />
        <SameProblem finding={finding} />
        <AlsoOn finding={finding} />
        <History finding={finding} />
        <Deliveries finding={finding} />
      </div>
    </div>
  );
}

type Offset = number | null | undefined;

/** The source of evidence that tells what became different, the most telling first. */
const CHANGED = "changed since it last ran";

function Changes({ finding, offset }: { finding: Finding; offset: Offset }) {
  const changes = finding.evidence.filter((each) => each.source === CHANGED);
  if (changes.length === 0) return null;
  return (
    <Section
      title="What changed since it last ran"
      aside={<span className={classes.small}>most telling first</span>}
    >
      <ol className={classes.evidence} aria-label="What changed since it last ran">
        {changes.map((each) => (
          <li key={each.text} className={classes.fact}>
            <span className={classes.moment}>
              {each.at ? <HostMoment at={each.at} offset={offset} /> : <span>time not known</span>}
            </span>
            <span className={classes.dot} aria-hidden />
            <span className={classes.factText}>{each.text}</span>
          </li>
        ))}
      </ol>
    </Section>
  );
}

function Evidence({ finding, offset }: { finding: Finding; offset: Offset }) {
  const clock = offset === null || offset === undefined ? "UTC" : "host time";
  return (
    <Section title="Evidence" aside={<span className={classes.small}>times in {clock}</span>}>
      <ol className={classes.evidence} aria-label="Evidence">
        {finding.evidence
          .filter((each) => each.source !== CHANGED)
          .map((each) => (
            <li key={`${each.at}-${each.text}`} className={classes.fact}>
              <span className={classes.moment}>
                {each.at ? <HostMoment at={each.at} offset={offset} /> : <span>at the last report</span>}
              </span>
              <span className={classes.dot} aria-hidden />
              <span className={classes.factText}>{each.text}</span>
              <span className={classes.small}>{each.source}</span>
            </li>
          ))}
      </ol>
    </Section>
  );
}

function Remedy({ finding }: { finding: Finding }) {
  const { remedy } = finding;
  const text = commandsInOneGo(remedy.steps);
  return (
    <Section
      title="Do this"
      aside={
        <div className={classes.actions}>
          {text ? <CopyAll text={text} label="Copy all commands" /> : null}
          <Button
            component="a"
            size="xs"
            variant="default"
            leftSection={<Download size={14} aria-hidden />}
            href={`data:text/plain;charset=utf-8,${encodeURIComponent(script(finding))}`}
            download={scriptName(finding)}
          >
            Download .cmd
          </Button>
        </div>
      }
    >
      <Card>
        <p className={classes.summary}>
          {remedy.summary} <span className="dimmed">({remedy.applies_to})</span>
        </p>
        <Steps label="Steps of the remedy" steps={remedy.steps} />
        {finding.state === "open" ? (
          <p className={classes.plan}>
            <Link to="/hosts/$id" params={{ id: finding.host.id }} search={{ tab: "plan" }}>
              The plan of {finding.host.name}
            </Link>{" "}
            joins this with what its other findings ask for.
          </p>
        ) : null}
        <Facts>
          <Fact name="Risk">{remedy.risk}</Fact>
          <Fact name="Restart">{RESTART[remedy.restart]}</Fact>
          <Fact name="Proven when">{remedy.proven_when}</Fact>
        </Facts>
        {remedy.undo.length > 0 ? (
          <details className={classes.undo}>
            <summary>Undo</summary>
            <Steps label="Steps that undo the remedy" steps={remedy.undo} />
          </details>
        ) : null}
      </Card>
    </Section>
  );
}

function About({ finding, offset }: { finding: Finding; offset: Offset }) {
  return (
    <Section title="About">
      <Card>
        <Facts>
          {Object.entries(finding.subject).map(([name, value]) => (
            <Fact key={name} name={name === "kb" ? "KB" : name}>
              {name === "kb" ? (
                <Link to="/updates/$kb" params={{ kb: value }} className="mono">
                  {value}
                </Link>
              ) : (
                <span className="mono">{value}</span>
              )}
            </Fact>
          ))}
          <Fact name="Since">
            {finding.since ? <HostMoment at={finding.since} offset={offset} /> : "not known"}
          </Fact>
          <Fact name="Opened">
            <When at={finding.opened_at} />
          </Fact>
          {finding.resolved_at ? (
            <Fact name="Resolved">
              <When at={finding.resolved_at} />
            </Fact>
          ) : null}
          <Fact name="Updated">
            <When at={finding.updated_at} />
          </Fact>
          <Fact name="Episode">{finding.episode}</Fact>
        </Facts>
      </Card>
    </Section>
  );
}

function SameProblem({ finding }: { finding: Finding }) {
  const problem = finding.membership;
  if (!problem) return null;
  const others = problem.hosts - (finding.state === "open" ? 1 : 0);
  return (
    <Section title="Problem">
      <Card>
        <Link to="/problems/$family/$" params={problemParams(problem.key)}>
          {problem.title}
        </Link>
        <div className={classes.small}>
          {others > 0
            ? `also on ${count(others, "other host")}, ${count(problem.clients, "client")} in all`
            : "on no other host"}
        </div>
      </Card>
    </Section>
  );
}

function AlsoOn({ finding }: { finding: Finding }) {
  if (finding.also_on.length === 0) return null;
  return (
    <Section title={`Also on ${count(finding.also_on.length, "other host")}`}>
      <ul className={classes.panel}>
        {finding.also_on.map((other) => (
          <li key={other.finding_id}>
            <Link to="/findings/$id" params={{ id: other.finding_id }}>
              {other.host.name}
            </Link>
            <span className={classes.small}>{other.client.name}</span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function History({ finding }: { finding: Finding }) {
  return (
    <Section title="History">
      <ol className={classes.panel} aria-label="History">
        {finding.timeline.toReversed().map((event) => (
          <li key={`${event.at}-${event.transition}-${event.title}`}>
            <span>
              {TRANSITION[event.transition]}
              {event.episode > 1 ? <span className="dimmed"> · episode {event.episode}</span> : null}
              {event.title === finding.title ? null : <div className={classes.small}>{event.title}</div>}
            </span>
            <span className={classes.small}>
              <When at={event.at} />
            </span>
          </li>
        ))}
      </ol>
    </Section>
  );
}

function Deliveries({ finding }: { finding: Finding }) {
  return (
    <Section title="Deliveries">
      {finding.deliveries.length === 0 ? (
        <p className={classes.quiet}>No endpoint is to hear of this finding.</p>
      ) : (
        <ul className={classes.panel} aria-label="Deliveries">
          {finding.deliveries.map((delivery) => (
            <li key={delivery.id}>
              <span>
                {delivery.endpoint.name} <span className="dimmed">· {plain(delivery.transition)}</span>
                <div className={classes.small}>
                  {count(delivery.attempts, "attempt")}
                  {delivery.last_status ? `, answered ${delivery.last_status}` : ""}
                  {delivery.last_error ? `: ${delivery.last_error}` : ""}
                </div>
              </span>
              <DeliveryState delivery={delivery} />
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function DeliveryState({ delivery }: { delivery: Finding["deliveries"][number] }) {
  switch (delivery.state) {
    case "delivered":
      return <Chip tone="good">delivered</Chip>;
    case "dead":
      return <Chip tone="critical">given up</Chip>;
    default:
      return (
        <span className={classes.small}>
          {plain(delivery.state)}
          {delivery.next_attempt_at ? (
            <>
              , <When at={delivery.next_attempt_at} />
            </>
          ) : null}
        </span>
      );
  }
}
