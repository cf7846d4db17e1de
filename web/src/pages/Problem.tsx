import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { problemQuery } from "../api/queries";
import type { ProblemDetail, ProblemMember } from "../api/types";
import { Content } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { Fact, Facts } from "../components/Facts";
import { LoadMore } from "../components/LoadMore";
import { Card, Page, Section } from "../components/Page";
import { SeverityMark } from "../components/Severity";
import { RESTART, Steps } from "../components/Steps";
import { When } from "../components/When";
import { count, problemExtent } from "../lib/words";
import classes from "./Problem.module.css";

const route = getRouteApi("/signed-in/problems/$family/$");

export function ProblemPage() {
  const { family, _splat: rest = "" } = route.useParams();
  const key = `${family}/${rest}`;
  const query = useInfiniteQuery(problemQuery(key));
  const problem = query.data?.pages[0];
  return (
    <Page
      title={problem?.title ?? "Problem"}
      above={
        <>
          <Link to="/problems">Problems</Link>
          <span aria-hidden>/</span>
          <span className="mono">{key}</span>
        </>
      }
      below={problem ? <Standing problem={problem} /> : null}
    >
      <Content query={query}>
        {(data) => {
          const [first] = data.pages;
          if (!first) return null;
          return (
            <div className={classes.columns}>
              <div>
                <Remedies problem={first} />
                <Section title="Members">
                  <DataTable
                    label="Members"
                    rows={data.pages.flatMap((page) => page.members.items)}
                    columns={COLUMNS}
                    rowId={(member) => member.finding_id}
                  />
                  <LoadMore {...query} />
                </Section>
              </div>
              <div>
                <Clients problem={first} />
                <Timeline problem={first} />
              </div>
            </div>
          );
        }}
      </Content>
    </Page>
  );
}

function Standing({ problem }: { problem: ProblemDetail }) {
  return (
    <>
      <SeverityMark severity={problem.severity} state={problem.state} />
      <span>{problem.confidence}</span>
      <span>{problemExtent(problem)}</span>
      {problem.state === "open" ? (
        <span>
          opened <When at={problem.opened_at} />
        </span>
      ) : (
        <span>
          resolved <When at={problem.resolved_at} />
        </span>
      )}
      {problem.episode > 1 ? (
        <span>
          episode {problem.episode}, the first <When at={problem.first_opened_at} />
        </span>
      ) : null}
    </>
  );
}

function Remedies({ problem }: { problem: ProblemDetail }) {
  const [common, ...others] = problem.remedies;
  if (!common) return null;
  const { remedy } = common;
  return (
    <Section
      title="Do this"
      aside={
        <span className={classes.small}>
          the same steps on {common.hosts} of {count(problem.hosts, "host")}
        </span>
      }
    >
      <Card>
        <p className={classes.summary}>
          {remedy.summary} <span className="dimmed">({remedy.applies_to})</span>
        </p>
        <Steps label="Steps of the remedy" steps={remedy.steps} />
        <Facts>
          <Fact name="Risk">{remedy.risk}</Fact>
          <Fact name="Restart">{RESTART[remedy.restart]}</Fact>
          <Fact name="Proven when">{remedy.proven_when}</Fact>
        </Facts>
        {others.length > 0 ? (
          <ul className={classes.others} aria-label="Where the steps differ">
            {others.map((other) => (
              <li key={other.finding_id}>
                <Link to="/findings/$id" params={{ id: other.finding_id }}>
                  {other.remedy.summary} ({other.remedy.applies_to})
                </Link>
                <span className={classes.small}>on {count(other.hosts, "host")}</span>
              </li>
            ))}
          </ul>
        ) : null}
      </Card>
    </Section>
  );
}

const COLUMNS: Column<ProblemMember>[] = [
  {
    id: "host",
    header: "Host",
    width: "15%",
    cell: (member) => (
      <Link to="/hosts/$id" params={{ id: member.host.id }} className={classes.host}>
        {member.host.name}
      </Link>
    ),
  },
  {
    id: "place",
    header: "Client › site",
    width: "22%",
    cell: (member) => (
      <>
        {member.client.name} <span className="dimmed">› {member.site.name}</span>
      </>
    ),
  },
  {
    id: "finding",
    header: "Finding",
    cell: (member) => (
      <Link to="/findings/$id" params={{ id: member.finding_id }}>
        {member.title}
      </Link>
    ),
  },
  {
    id: "severity",
    header: "State",
    width: "100px",
    cell: (member) => (
      <SeverityMark severity={member.severity} state={member.left_at ? "resolved" : "open"} />
    ),
  },
  {
    id: "joined",
    header: "Joined",
    align: "right",
    width: "110px",
    cell: (member) => <When at={member.joined_at} />,
  },
  {
    id: "left",
    header: "Left",
    align: "right",
    width: "110px",
    cell: (member) => <When at={member.left_at} />,
  },
];

function Clients({ problem }: { problem: ProblemDetail }) {
  return (
    <Section title="By client">
      {problem.by_client.length === 0 ? (
        <p className={classes.quiet}>No host has it at present.</p>
      ) : (
        <ul className={classes.panel} aria-label="By client">
          {problem.by_client.map(({ client, hosts, findings }) => (
            <li key={client.id}>
              <Link to="/problems" search={{ client: client.id }}>
                {client.name}
              </Link>
              <span className={classes.small}>
                {count(hosts, "host")}, {count(findings, "finding")}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Timeline({ problem }: { problem: ProblemDetail }) {
  return (
    <Section title="Who joined and left">
      <ol className={classes.panel} aria-label="Who joined and left">
        {problem.timeline.map((step) => (
          <li key={`${step.host.id} ${step.at} ${step.change}`}>
            <span>
              <span className="dimmed">{step.change}</span>{" "}
              <Link to="/hosts/$id" params={{ id: step.host.id }} className={classes.host}>
                {step.host.name}
              </Link>
              <div className={classes.small}>{step.client.name}</div>
            </span>
            <span className={classes.small}>
              <When at={step.at} />
            </span>
          </li>
        ))}
      </ol>
    </Section>
  );
}
