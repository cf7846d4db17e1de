import { Alert, Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { Network } from "lucide-react";
import { api, take } from "../../api/client";
import type { Connection, HostDetail } from "../../api/types";
import { type Column, DataTable } from "../../components/DataTable";
import { Fact, Facts } from "../../components/Facts";
import { Card, Section } from "../../components/Page";
import { SectionNote } from "../../components/SectionNote";
import { describe } from "../../lib/problems";
import { count, plain } from "../../lib/words";
import classes from "./HostFacts.module.css";
import { sectionOf } from "./sections";

/** Connections as counts, which every report brings, and one by one, which the agent is asked for. */
export function HostConnections({ host }: { host: HostDetail }) {
  const counts = host.facts.connections;
  const section = sectionOf(host, "connections");
  const asked = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/v1/hosts/{id}/connections", {
          params: { path: { id: host.id } },
          // It has no body, and the server takes writes only with this header.
          headers: { "content-type": "application/json" },
        }),
      ),
  });
  const button = (
    <Button
      size="compact-xs"
      variant="default"
      leftSection={<Network size={13} aria-hidden />}
      loading={asked.isPending}
      onClick={() => asked.mutate()}
    >
      Show connections
    </Button>
  );
  return (
    <Section title="Connections" aside={host.collected_by === "capture" ? null : button}>
      <SectionNote section={section} consequence={counts ? "Shown is what was known last." : ""} />
      {counts ? (
        <Card>
          <Facts>
            <Fact name="TCP">
              {counts.states.length === 0
                ? "no connection"
                : counts.states.map(({ family, state, count: number }) => (
                    <div key={`${family}-${state}`}>
                      <span className="number">{number.toLocaleString("en")}</span> {plain(state)}{" "}
                      <span className="dimmed">{family}</span>
                    </div>
                  ))}
            </Fact>
            <Fact name="Dynamic ports in use">
              {counts.dynamic_ports.length === 0 ? (
                <span className="dimmed">the ranges are not known</span>
              ) : (
                counts.dynamic_ports.map(({ protocol, family, in_use, size }) => (
                  <div key={`${protocol}-${family}`}>
                    <span className="number">
                      {in_use.toLocaleString("en")} of {size.toLocaleString("en")}
                    </span>{" "}
                    {protocol} <span className="dimmed">{family}</span>
                  </div>
                ))
              )}
            </Fact>
            <Fact name="Most connections">
              {counts.owners.length === 0
                ? "none"
                : counts.owners.map((owner) => (
                    <div key={owner.pid}>
                      <span className="mono">{owner.process ?? "not known"}</span> (PID {owner.pid}):{" "}
                      {owner.count.toLocaleString("en")}
                    </div>
                  ))}
            </Fact>
          </Facts>
        </Card>
      ) : null}
      {asked.error ? <Refused error={asked.error} /> : null}
      {asked.data ? <Rows answer={asked.data} /> : null}
    </Section>
  );
}

function Refused({ error }: { error: Error }) {
  const { title, advice } = describe(error);
  return (
    <Alert color="gray" variant="default" mt="md" py="xs" role="alert" title={title}>
      {advice}
    </Alert>
  );
}

type Answer = { items: Connection[]; omitted: number; unknown?: string | null };

function Rows({ answer }: { answer: Answer }) {
  if (answer.unknown) {
    return <p className={classes.quiet}>The agent could not read them: {answer.unknown}</p>;
  }
  if (answer.items.length === 0) return <p className={classes.quiet}>There is no connection now.</p>;
  return (
    <div className={classes.rows}>
      <DataTable
        label="Connections now"
        rows={answer.items}
        columns={COLUMNS}
        rowId={(row) =>
          `${row.local_address} ${row.local_port} ${row.remote_address} ${row.remote_port} ${row.pid}`
        }
      />
      {answer.omitted > 0 ? (
        <p className={classes.quiet}>{count(answer.omitted, "connection")} more are not shown.</p>
      ) : null}
    </div>
  );
}

const COLUMNS: Column<Connection>[] = [
  {
    id: "local",
    header: "Here",
    cell: (row) => <span className="mono">{endpoint(row.local_address, row.local_port)}</span>,
  },
  {
    id: "remote",
    header: "Peer",
    cell: (row) => <span className="mono">{endpoint(row.remote_address, row.remote_port)}</span>,
  },
  { id: "state", header: "State", cell: (row) => (row.state ? plain(row.state) : "not known") },
  {
    id: "process",
    header: "Process",
    cell: (row) => (
      <>
        <span className="mono">{row.process ?? "not known"}</span>
        {row.pid === null ? null : <span className="dimmed"> PID {row.pid}</span>}
      </>
    ),
  },
];

/** `10.0.0.1:445`, `[fe80::1]:445` */
function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
