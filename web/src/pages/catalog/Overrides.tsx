import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, take } from "../../api/client";
import { clientsQuery, overridesQuery } from "../../api/queries";
import type { Override, Severity } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { Section } from "../../components/Page";
import { Chip, SeverityMark } from "../../components/Severity";
import { utc } from "../../lib/time";
import classes from "../Captures.module.css";
import { Refused } from "./Refused";

const DECISIONS = [
  { value: "not-applicable", label: "does not apply" },
  { value: "info", label: "counts as info" },
  { value: "warning", label: "counts as warning" },
  { value: "critical", label: "counts as critical" },
];

/** What was decided about entries for single clients, and until when. */
export function Overrides({ mayDecide }: { mayDecide: boolean }) {
  const query = useQuery(overridesQuery);
  const queries = useQueryClient();
  const withdraw = useMutation({
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/catalog/overrides/{id}", { params: { path: { id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["catalog"] }),
  });
  const columns: Column<Override>[] = [
    { id: "client", header: "Client", width: "180px", cell: (row) => row.client.name },
    { id: "entry", header: "Entry", cell: (row) => <span className="mono">{row.entry}</span> },
    {
      id: "decision",
      header: "Decision",
      width: "150px",
      cell: (row) =>
        row.severity ? <SeverityMark severity={row.severity} state="open" /> : "does not apply",
    },
    { id: "reason", header: "Why", cell: (row) => row.reason },
    { id: "by", header: "By", width: "120px", cell: (row) => row.decided_by },
    {
      id: "until",
      header: "Until",
      width: "140px",
      cell: (row) => (row.has_ended ? <Chip tone="info">ended</Chip> : utc(row.until)),
    },
    {
      id: "actions",
      header: "",
      align: "right",
      width: "110px",
      cell: (row) =>
        mayDecide ? (
          <Button size="compact-xs" variant="default" onClick={() => withdraw.mutate(row.id)}>
            Withdraw
          </Button>
        ) : null,
    },
  ];
  return (
    <>
      {withdraw.error ? <Refused error={withdraw.error} /> : null}
      <Content query={query}>
        {(rows) =>
          rows.length === 0 ? (
            <Nothing title="Nothing is overridden">Every entry counts for every client as it stands.</Nothing>
          ) : (
            <DataTable
              label="Overrides"
              rows={rows}
              columns={columns}
              rowId={(row) => `${row.id}/${row.client.id}`}
            />
          )
        }
      </Content>
      {mayDecide ? <NewOverride /> : null}
    </>
  );
}

function NewOverride() {
  const clients = useQuery(clientsQuery);
  const queries = useQueryClient();
  const [entry, setEntry] = useState("");
  const [client, setClient] = useState("");
  const [decision, setDecision] = useState("not-applicable");
  const [reason, setReason] = useState("");
  const [until, setUntil] = useState("");
  const create = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/v1/catalog/overrides", {
          body: {
            entry: entry.trim(),
            client: client ? Number(client) : null,
            severity: decision === "not-applicable" ? null : (decision as Severity),
            reason,
            until: new Date(`${until}T00:00:00`).toISOString(),
          },
        }),
      ),
    onSuccess: () => {
      setEntry("");
      setReason("");
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["catalog"] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  const names = (clients.data?.items ?? []).map(({ id, name }) => ({ value: String(id), label: name }));
  return (
    <Section title="Override an entry">
      <form className={classes.form} onSubmit={submit} aria-label="Override an entry">
        <TextInput
          label="Entry"
          description="Id of a bad update or a taker"
          required
          withAsterisk={false}
          value={entry}
          onChange={(event) => setEntry(event.currentTarget.value)}
        />
        <NativeSelect
          label="Client"
          value={client}
          data={[{ value: "", label: "Every client of now" }, ...names]}
          onChange={(event) => setClient(event.currentTarget.value)}
        />
        <NativeSelect
          label="Decision"
          value={decision}
          data={DECISIONS}
          onChange={(event) => setDecision(event.currentTarget.value)}
        />
        <TextInput
          label="Why"
          description="It stands in the evidence of findings"
          required
          withAsterisk={false}
          maxLength={500}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        <TextInput
          label="Until"
          description="Within a year"
          type="date"
          required
          withAsterisk={false}
          value={until}
          onChange={(event) => setUntil(event.currentTarget.value)}
        />
        <Button type="submit" loading={create.isPending}>
          Override
        </Button>
      </form>
      {create.error ? <Refused error={create.error} /> : null}
    </Section>
  );
}
