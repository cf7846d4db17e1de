import { Button, Textarea } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, take } from "../../api/client";
import { ownEntriesQuery } from "../../api/queries";
import type { OwnEntry } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { Section } from "../../components/Page";
import { When } from "../../components/When";
import { Refused } from "./Refused";

/** Entries that this installation added itself. */
export function OwnEntries() {
  const query = useQuery(ownEntriesQuery);
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const anew = () => queries.invalidateQueries({ queryKey: ["catalog"] });
  const add = useMutation({
    mutationFn: () => take(api.POST("/api/v1/catalog/own-entries", { body: { text } })),
    onSuccess: () => setText(""),
    onSettled: anew,
  });
  const remove = useMutation({
    mutationFn: ({ kind, id }: OwnEntry) =>
      take(api.DELETE("/api/v1/catalog/own-entries/{kind}/{id}", { params: { path: { kind, id } } })),
    onSettled: anew,
  });
  const columns: Column<OwnEntry>[] = [
    { id: "id", header: "Entry", cell: (entry) => <span className="mono">{entry.id}</span> },
    { id: "kind", header: "Kind", width: "130px", cell: (entry) => entry.kind.replace("-", " ") },
    { id: "by", header: "Added by", width: "160px", cell: (entry) => entry.added_by },
    { id: "at", header: "Added", width: "130px", cell: (entry) => <When at={entry.added_at} /> },
    {
      id: "actions",
      header: "",
      align: "right",
      width: "170px",
      cell: (entry) => (
        <>
          <Button size="compact-xs" variant="default" mr={6} onClick={() => setText(entry.text)}>
            Edit
          </Button>
          <Button size="compact-xs" variant="default" onClick={() => remove.mutate(entry)}>
            Remove
          </Button>
        </>
      ),
    },
  ];
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate();
  };
  return (
    <>
      {remove.error ? <Refused error={remove.error} /> : null}
      <Content query={query}>
        {(entries) =>
          entries.length === 0 ? (
            <Nothing title="There is no own entry">
              An entry of your own counts beside those that are built in, or in place of one with its id.
            </Nothing>
          ) : (
            <DataTable
              label="Own entries"
              rows={entries}
              columns={columns}
              rowId={(entry) => `${entry.kind}/${entry.id}`}
            />
          )
        }
      </Content>
      <Section title="Add an entry">
        <form onSubmit={submit} aria-label="Add an entry">
          <Textarea
            label="Entry"
            description="TOML, as a file of the catalog holds it. One with the id of another takes its place."
            required
            withAsterisk={false}
            autosize
            minRows={8}
            maxRows={30}
            mb="sm"
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          {add.error ? <Refused error={add.error} /> : null}
          <Button type="submit" loading={add.isPending}>
            Add
          </Button>
        </form>
      </Section>
    </>
  );
}
