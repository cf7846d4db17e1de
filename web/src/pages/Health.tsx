import { useQuery } from "@tanstack/react-query";
import { healthQuery, sessionQuery } from "../api/queries";
import type { Health as Installation, TableHealth, UpkeepRun } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { Fact, Facts } from "../components/Facts";
import { Card, Page, Section } from "../components/Page";
import { Chip } from "../components/Severity";
import { When } from "../components/When";
import { bytes, seconds } from "../lib/storage";
import { count } from "../lib/words";
import classes from "./Health.module.css";
import { Kinds } from "./health/Kinds";

const RUNS: Column<UpkeepRun>[] = [
  { id: "name", header: "Upkeep", cell: (run) => <span className="mono">{run.name}</span> },
  { id: "begun", header: "Began", width: "130px", cell: (run) => <When at={run.begun_at} /> },
  {
    id: "outcome",
    header: "Outcome",
    width: "240px",
    cell: (run) => {
      if (run.fault) {
        return (
          <Chip tone="warning" title={run.fault}>
            failed
          </Chip>
        );
      }
      return run.ended_at ? "done" : <Chip tone="info">under way</Chip>;
    },
  },
  {
    id: "removed",
    header: "Removed",
    width: "110px",
    align: "right",
    cell: (run) => <span className="number">{run.removed}</span>,
  },
];

const TABLES: Column<TableHealth>[] = [
  { id: "name", header: "Table", cell: (table) => <span className="mono">{table.name}</span> },
  {
    id: "live",
    header: "Rows",
    width: "120px",
    align: "right",
    cell: (table) => <span className="number">{table.live_rows}</span>,
  },
  {
    id: "dead",
    header: "Dead rows",
    width: "120px",
    align: "right",
    cell: (table) => <span className="number">{table.dead_rows}</span>,
  },
  { id: "bytes", header: "Size", width: "120px", align: "right", cell: (table) => bytes(table.bytes) },
  { id: "vacuumed", header: "Vacuumed", width: "140px", cell: (table) => <When at={table.vacuumed_at} /> },
];

/** How the installation itself is. */
export function Health() {
  const query = useQuery(healthQuery);
  const session = useQuery(sessionQuery);
  const isAdmin = session.data?.role === "admin";
  return (
    <Page title="Health" below="The installation itself: what comes in, what goes out, what is stored">
      <Content query={query}>
        {(health) => (
          <>
            <Warnings health={health} />
            <div className={classes.cards}>
              <Streams health={health} />
              <Webhooks health={health} />
              <Postgres health={health} />
            </div>
            <Kinds kinds={health.kinds} maySet={isAdmin} />
            <Section title="Upkeep">
              {health.upkeep.length === 0 ? (
                <Nothing title="No upkeep has run yet">It begins within minutes after the start.</Nothing>
              ) : (
                <DataTable label="Upkeep" rows={health.upkeep} columns={RUNS} rowId={(run) => run.name} />
              )}
            </Section>
            <Section title="Tables that reports write">
              <DataTable
                label="Tables that reports write"
                rows={health.database.tables}
                columns={TABLES}
                rowId={(table) => table.name}
              />
            </Section>
            <Leases health={health} />
          </>
        )}
      </Content>
    </Page>
  );
}

function Warnings({ health }: { health: Installation }) {
  if (health.warnings.length === 0) {
    return (
      <p className={classes.well}>
        <Chip tone="good">Nothing needs you</Chip>
      </p>
    );
  }
  return (
    <Section
      title={health.warnings.length === 1 ? "Look at this" : `Look at these ${health.warnings.length}`}
    >
      <Card>
        <ul className={classes.warnings}>
          {health.warnings.map(({ kind, text }) => (
            <li key={text}>
              <Chip tone="warning">{kind}</Chip> {text}
            </li>
          ))}
        </ul>
      </Card>
    </Section>
  );
}

function Streams({ health: { hosts, streams } }: { health: Installation }) {
  const lag =
    streams.lag_median_seconds === null || streams.lag_p99_seconds === null
      ? "nothing came in 15 minutes"
      : `${seconds(streams.lag_median_seconds)}, 99 of 100 within ${seconds(streams.lag_p99_seconds)}`;
  return (
    <Section title="Agents">
      <Card>
        <Facts>
          <Fact name="streams">{streams.open} open</Fact>
          <Fact name="hosts">
            {hosts.reporting} reporting, {hosts.stale} stale, {hosts.silent} silent, {hosts.capture} by
            capture
          </Fact>
          <Fact name="lag">{lag}</Fact>
          <Fact name="gaps">{count(streams.gaps, "report")} lost by agents</Fact>
          <Fact name="quarantined">
            {count(streams.quarantined, "report")}, {count(streams.dropped_rows, "single row")} left out
          </Fact>
        </Facts>
      </Card>
    </Section>
  );
}

function Webhooks({ health: { deliveries } }: { health: Installation }) {
  return (
    <Section title="Webhooks">
      <Card>
        <Facts>
          <Fact name="pending">{deliveries.pending}</Fact>
          <Fact name="oldest">
            <When at={deliveries.oldest_pending_at} />
          </Fact>
          <Fact name="given up">{deliveries.dead}</Fact>
        </Facts>
      </Card>
    </Section>
  );
}

function Postgres({ health: { database } }: { health: Installation }) {
  return (
    <Section title="Postgres">
      <Card>
        <Facts>
          <Fact name="version">{database.version}</Fact>
          <Fact name="started">
            <When at={database.started_at} />
          </Fact>
          <Fact name="connections">{database.connections}</Fact>
          <Fact name="transactions">
            {((database.transaction_age / 2_000_000_000) * 100).toFixed(1)} % of the way to a forced stop
          </Fact>
          <Fact name="weeks made">
            until <When at={database.weeks_until} />
          </Fact>
        </Facts>
      </Card>
    </Section>
  );
}

function Leases({ health: { leases } }: { health: Installation }) {
  return (
    <Section title="What one server at a time does">
      <DataTable
        label="Leases"
        rows={leases}
        columns={[
          {
            id: "name",
            header: "Task",
            width: "180px",
            cell: (lease) => <span className="mono">{lease.name}</span>,
          },
          { id: "server", header: "Server", cell: (lease) => <span className="mono">{lease.server}</span> },
          {
            id: "held",
            header: "Lease",
            width: "160px",
            cell: (lease) => (lease.is_held ? "held" : <Chip tone="warning">ended</Chip>),
          },
        ]}
        rowId={(lease) => lease.name}
      />
    </Section>
  );
}
