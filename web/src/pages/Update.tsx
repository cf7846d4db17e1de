import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { updateHistoryQuery, updateQuery } from "../api/queries";
import type { Advisory, UpdateHost, UpdateLife } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { Fact, Facts } from "../components/Facts";
import { LoadMore } from "../components/LoadMore";
import { Card, Page, Section } from "../components/Page";
import { Chip } from "../components/Severity";
import { Suspects } from "../components/Suspects";
import { VerdictChip } from "../components/VerdictChip";
import { day, utc } from "../lib/time";
import { count, plain } from "../lib/words";
import classes from "./Update.module.css";

const route = getRouteApi("/signed-in/updates/$kb");

export function UpdatePage() {
  const { kb } = route.useParams();
  const query = useInfiniteQuery(updateQuery(kb));
  const update = query.data?.pages[0];
  return (
    <Page
      title={update?.kb ?? kb}
      heading={update?.advisories[0]?.title ?? update?.title ?? kb}
      above={
        <>
          <Link to="/updates">Updates</Link>
          <span aria-hidden>/</span>
          <span className="mono">{update?.kb ?? kb}</span>
        </>
      }
    >
      <Content query={query}>
        {(data) => {
          const hosts = data.pages.flatMap((page) => page.hosts.items);
          return (
            <>
              {data.pages[0]?.advisories.map((advisory) => (
                <AdvisoryCard key={advisory.id} advisory={advisory} kb={kb} hosts={hosts} />
              ))}
              <Suspects kb={kb} />
              <Section title="Hosts that list it">
                {hosts.length === 0 ? (
                  <Nothing title="No host lists this update" />
                ) : (
                  <>
                    <DataTable
                      label="Hosts that list it"
                      rows={hosts}
                      columns={COLUMNS}
                      rowId={(row) => `${row.host.id} ${row.title} ${row.state}`}
                    />
                    <LoadMore {...query} />
                  </>
                )}
              </Section>
              <Arrivals kb={kb} />
            </>
          );
        }}
      </Content>
    </Page>
  );
}

/** When it came to each host, as far as lists of updates are kept. */
function Arrivals({ kb }: { kb: string }) {
  const query = useInfiniteQuery(updateHistoryQuery(kb));
  return (
    <Section title="When it came">
      <Content query={query}>
        {(data) => {
          const lives = data.pages.flatMap((page) => page.items);
          if (lives.length === 0) return <Nothing title="No host is known to have had it" />;
          return (
            <>
              <DataTable
                label="When it came"
                rows={lives}
                columns={ARRIVALS}
                rowId={({ host }) => String(host.id)}
              />
              <LoadMore {...query} />
            </>
          );
        }}
      </Content>
    </Section>
  );
}

const ARRIVALS: Column<UpdateLife>[] = [
  {
    id: "host",
    header: "Host",
    width: "26%",
    cell: ({ host }) => (
      <Link to="/hosts/$id" params={{ id: host.id }} className={classes.host}>
        {host.name}
      </Link>
    ),
  },
  {
    id: "listed",
    header: "First listed",
    cell: ({ listed_from, older }) => (
      <>
        {utc(listed_from)}
        {older ? <div className="dimmed">when the host was first heard of; it came earlier</div> : null}
      </>
    ),
  },
  {
    id: "installed",
    header: "First listed as installed",
    cell: ({ installed_from, installed_until }) => (
      <>
        {installed_from ? utc(installed_from) : <span className="dimmed">never</span>}
        {installed_until ? <div>gone {utc(installed_until)}</div> : null}
      </>
    ),
  },
  {
    id: "changes",
    header: "What changed",
    align: "right",
    width: "150px",
    cell: ({ host, older }) => <Around id={host.id} older={older} />,
  },
];

function Around({ id, older }: { id: number; older: boolean }) {
  const { kb } = route.useParams();
  if (older) return <span className="dimmed">not kept</span>;
  return (
    <Link to="/hosts/$id" params={{ id }} search={{ tab: "changes", around: kb }}>
      before and after
    </Link>
  );
}

type AdvisoryProps = { advisory: Advisory; kb: string; hosts: UpdateHost[] };

function AdvisoryCard({ advisory, kb, hosts }: AdvisoryProps) {
  const harmful = hosts.filter((row) => row.verdict === "harmful").length;
  const possible = hosts.filter((row) => row.verdict === "possible").length;
  const others = [{ kb: advisory.kb, name: null }, ...advisory.aliases].filter((alias) => alias.kb !== kb);
  return (
    <Section title={`Known-bad update: ${advisory.id}`}>
      <Card>
        <p className={classes.summary}>{advisory.summary}</p>
        <div className={classes.here}>
          {harmful > 0 ? <Chip tone="critical">doing harm on {count(harmful, "host")}</Chip> : null}
          {possible > 0 ? <Chip tone="warning">may do harm on {count(possible, "host")}</Chip> : null}
          {harmful + possible === 0 ? <Chip tone="good">no host of this fleet is harmed</Chip> : null}
          {advisory.verified ? null : <Chip tone="unknown">not verified against a source</Chip>}
        </div>
        <div className={classes.columns}>
          <Facts>
            <Fact name="Does harm when">{advisory.conditions}</Fact>
            <Fact name="What fails">
              <ul className={classes.plain}>
                {advisory.symptoms.map((symptom) => (
                  <li key={symptom}>{symptom}</li>
                ))}
              </ul>
            </Fact>
            {advisory.affected_services.length > 0 ? (
              <Fact name="Services">
                <span className="mono">{advisory.affected_services.join(", ")}</span>
              </Fact>
            ) : null}
            <Fact name="Do this">{advisory.remedy}</Fact>
            {advisory.caution ? <Fact name="Caution">{advisory.caution}</Fact> : null}
            <Fact name="Fixed by">
              {advisory.fixed_by.length === 0 ? (
                <span className="dimmed">no other update</span>
              ) : (
                advisory.fixed_by.map((fix) => (
                  <Link key={fix} to="/updates/$kb" params={{ kb: fix }} className={classes.kb}>
                    {fix}
                  </Link>
                ))
              )}
            </Fact>
          </Facts>
          <Facts>
            <Fact name="Severity">{advisory.severity}</Fact>
            <Fact name="Released">{advisory.released}</Fact>
            {others.length > 0 ? (
              <Fact name="Also listed as">
                {others.map((alias) => (
                  <div key={alias.kb}>
                    <Link to="/updates/$kb" params={{ kb: alias.kb }} className="mono">
                      {alias.kb}
                    </Link>{" "}
                    {alias.name}
                  </div>
                ))}
              </Fact>
            ) : null}
            <Fact name="Sources">
              <ul className={classes.plain}>
                {advisory.sources.map((source) => (
                  <li key={source}>
                    <Source text={source} />
                  </li>
                ))}
              </ul>
            </Fact>
            {advisory.note ? <Fact name="Note">{advisory.note}</Fact> : null}
          </Facts>
        </div>
      </Card>
    </Section>
  );
}

function Source({ text }: { text: string }) {
  if (!text.startsWith("https://")) return text;
  return (
    <a href={text} target="_blank" rel="noreferrer noopener">
      {text.replace("https://", "")}
    </a>
  );
}

const COLUMNS: Column<UpdateHost>[] = [
  {
    id: "host",
    header: "Host",
    width: "18%",
    cell: (row) => (
      <Link to="/hosts/$id" params={{ id: row.host.id }} className={classes.host}>
        {row.host.name}
      </Link>
    ),
  },
  {
    id: "place",
    header: "Client › site",
    width: "20%",
    cell: (row) => (
      <>
        {row.client.name} <span className="dimmed">› {row.site.name}</span>
      </>
    ),
  },
  { id: "title", header: "Listed as", cell: (row) => row.title },
  {
    id: "verdict",
    header: "Verdict",
    width: "140px",
    cell: (row) =>
      row.finding_id ? (
        <Link to="/findings/$id" params={{ id: row.finding_id }}>
          <VerdictChip verdict={row.verdict} />
        </Link>
      ) : (
        <VerdictChip verdict={row.verdict} />
      ),
  },
  { id: "state", header: "State", width: "120px", cell: (row) => plain(row.state) },
  {
    id: "removable",
    header: "Removable",
    width: "100px",
    cell: (row) =>
      row.removable === null ? <span className="dimmed">not known</span> : row.removable ? "yes" : "no",
  },
  {
    id: "installed",
    header: "Installed",
    align: "right",
    width: "110px",
    cell: (row) =>
      row.installed_at ? (
        <time dateTime={row.installed_at} title={utc(row.installed_at)}>
          {day(row.installed_at)}
        </time>
      ) : (
        <span className="dimmed">not known</span>
      ),
  },
];
