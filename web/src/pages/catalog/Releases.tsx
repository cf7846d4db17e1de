import { Button, FileInput, NumberInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api, take } from "../../api/client";
import { releasesQuery, shadowQuery } from "../../api/queries";
import type { Release, Shadow } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { Card, Section } from "../../components/Page";
import { Chip, SeverityMark } from "../../components/Severity";
import { When } from "../../components/When";
import classes from "../Captures.module.css";
import { Refused } from "./Refused";

const STATES = {
  shadowing: "being tried",
  held: "held",
  "in-force": "in force",
  replaced: "replaced",
  discarded: "discarded",
} as const;

const COLUMNS: Column<Release>[] = [
  { id: "version", header: "Version", width: "90px", cell: (release) => release.version },
  { id: "title", header: "Title", cell: (release) => release.title },
  {
    id: "state",
    header: "State",
    width: "120px",
    cell: (release) => (release.state === "held" ? <Chip tone="warning">held</Chip> : STATES[release.state]),
  },
  {
    id: "key",
    header: "Signed by",
    width: "160px",
    cell: (release) => <span title={release.key_id}>{release.key_name ?? release.key_id}</span>,
  },
  { id: "opens", header: "Opens", align: "right", width: "80px", cell: ({ shadow }) => shadow?.opens ?? "" },
  {
    id: "resolves",
    header: "Resolves",
    align: "right",
    width: "90px",
    cell: ({ shadow }) => shadow?.resolves ?? "",
  },
  {
    id: "changes",
    header: "Changes",
    align: "right",
    width: "90px",
    cell: ({ shadow }) => shadow?.changes ?? "",
  },
  { id: "hosts", header: "Hosts", align: "right", width: "80px", cell: ({ shadow }) => shadow?.hosts ?? "" },
  {
    id: "at",
    header: "Imported",
    align: "right",
    width: "130px",
    cell: (release) => <When at={release.imported_at} />,
  },
];

/** Signed catalogs that were imported, and what the one that waits would do. */
export function Releases() {
  const query = useQuery(releasesQuery);
  return (
    <>
      <Content query={query}>
        {(releases) => {
          const held = releases.find((release) => release.state === "held");
          return (
            <>
              {held ? <Held release={held} /> : null}
              {releases.length === 0 ? (
                <Nothing title="No release was imported">
                  What is built in counts. Trust a publisher's key first: portreeve-server catalog trust.
                </Nothing>
              ) : (
                <DataTable
                  label="Releases"
                  rows={releases}
                  columns={COLUMNS}
                  rowId={(release) => release.id}
                />
              )}
            </>
          );
        }}
      </Content>
      <Import />
    </>
  );
}

function Held({ release }: { release: Release }) {
  const query = useQuery(shadowQuery(release.id));
  const queries = useQueryClient();
  const anew = () => queries.invalidateQueries({ queryKey: ["catalog"] });
  const path = { id: release.id };
  const approve = useMutation({
    mutationFn: () =>
      take(api.POST("/api/v1/catalog/releases/{id}/approval", { params: { path }, body: {} as never })),
    onSettled: anew,
  });
  const discard = useMutation({
    mutationFn: () => take(api.DELETE("/api/v1/catalog/releases/{id}", { params: { path } })),
    onSettled: anew,
  });
  const error = approve.error ?? discard.error;
  return (
    <Section title={`Version ${release.version} waits: it would open ${release.shadow?.opens ?? 0} findings`}>
      <Content query={query}>{(shadow) => <WouldDo shadow={shadow} />}</Content>
      {error ? <Refused error={error} /> : null}
      <Button mr="xs" loading={approve.isPending} onClick={() => approve.mutate()}>
        Put in force
      </Button>
      <Button variant="default" loading={discard.isPending} onClick={() => discard.mutate()}>
        Discard
      </Button>
    </Section>
  );
}

function WouldDo({ shadow }: { shadow: Shadow }) {
  return (
    <>
      <Card>
        <ul>
          {shadow.rules.map((each) => (
            <li key={`${each.rule} ${each.transition}`}>
              <span className="mono">{each.rule}</span>: {each.findings} {each.transition} on {each.hosts}{" "}
              {each.hosts === 1 ? "host" : "hosts"}
            </li>
          ))}
        </ul>
      </Card>
      <DataTable
        label="What would change"
        rows={shadow.findings}
        columns={FINDINGS}
        rowId={(row) => `${row.host.id}/${row.rule}/${row.title}`}
      />
    </>
  );
}

const FINDINGS: Column<Shadow["findings"][number]>[] = [
  { id: "transition", header: "Becomes", width: "100px", cell: (row) => row.transition },
  {
    id: "severity",
    header: "Severity",
    width: "110px",
    cell: (row) => <SeverityMark severity={row.severity} state="open" />,
  },
  { id: "title", header: "Finding", cell: (row) => row.title },
  {
    id: "host",
    header: "Host",
    width: "180px",
    cell: (row) => (
      <Link to="/hosts/$id" params={{ id: row.host.id }}>
        {row.host.name}
      </Link>
    ),
  },
  { id: "client", header: "Client", width: "180px", cell: (row) => row.client.name },
];

function Import() {
  const queries = useQueryClient();
  const [file, setFile] = useState<File | null>(null);
  const [signature, setSignature] = useState<File | null>(null);
  const [holdAbove, setHoldAbove] = useState<number | string>(50);
  const bring = useMutation({
    mutationFn: async () =>
      take(
        api.POST("/api/v1/catalog/releases", {
          body: {
            text: (await file?.text()) ?? "",
            signature: ((await signature?.text()) ?? "").trim(),
            hold_above: Number(holdAbove),
            allow_older: null,
          },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: ["catalog"] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    bring.mutate();
  };
  return (
    <Section title="Import a release">
      <form className={classes.form} onSubmit={submit} aria-label="Import a release">
        <FileInput label="Release" required withAsterisk={false} value={file} onChange={setFile} />
        <FileInput
          label="Signature"
          required
          withAsterisk={false}
          value={signature}
          onChange={setSignature}
        />
        <NumberInput
          label="Hold above"
          description="New findings that need nobody's word"
          min={0}
          value={holdAbove}
          onChange={setHoldAbove}
        />
        <Button type="submit" loading={bring.isPending} disabled={!file || !signature}>
          Import
        </Button>
      </form>
      {bring.error ? <Refused error={bring.error} /> : null}
    </Section>
  );
}
