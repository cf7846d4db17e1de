import { Button, Checkbox, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, take } from "../../api/client";
import type { Retention } from "../../api/types";
import { type Column, DataTable } from "../../components/DataTable";
import { Card, Section } from "../../components/Page";
import { Chip } from "../../components/Severity";
import { budgetOf, bytes, gigabytes, kindWords, outlookWords } from "../../lib/storage";
import { utc } from "../../lib/time";
import { Refused } from "../catalog/Refused";
import classes from "../Health.module.css";

/** What is stored, how it grows, how long it is kept, and how much room it has. */
export function Kinds({ kinds, maySet }: { kinds: Retention[]; maySet: boolean }) {
  const [chosen, choose] = useState<Retention["kind"]>();
  const columns: Column<Retention>[] = [
    { id: "kind", header: "What", width: "200px", cell: (row) => kindWords(row.kind) },
    { id: "kept", header: "Kept", width: "190px", cell: (row) => <Kept kind={row} /> },
    { id: "bytes", header: "Size", width: "200px", align: "right", cell: (row) => <Size kind={row} /> },
    {
      id: "growth",
      header: "A day",
      width: "110px",
      align: "right",
      cell: (row) => (row.growth_per_day === null ? "–" : bytes(Math.round(row.growth_per_day))),
    },
    { id: "outlook", header: "Budget used up", width: "190px", cell: (row) => <Outlook kind={row} /> },
    {
      id: "set",
      header: "",
      width: "90px",
      align: "right",
      cell: (row) =>
        maySet ? (
          <Button
            size="compact-xs"
            variant="default"
            aria-label={`Set ${kindWords(row.kind)}`}
            onClick={() => choose(row.kind)}
          >
            Set
          </Button>
        ) : null,
    },
  ];
  const kind = kinds.find((each) => each.kind === chosen);
  return (
    <>
      <Section title="What is stored">
        <DataTable label="What is stored" rows={kinds} columns={columns} rowId={(row) => row.kind} />
      </Section>
      {kind ? <SetKind key={kind.kind} kind={kind} onDone={() => choose(undefined)} /> : null}
    </>
  );
}

function Kept({ kind }: { kind: Retention }) {
  if (kind.keep_days === null) return <span className="dimmed">as long as it is true</span>;
  if (kind.shortened_to_days === null) return `${kind.keep_days} days`;
  return (
    <Chip tone="warning" title={kind.shortened_at ? `Shortened at ${utc(kind.shortened_at)}` : undefined}>
      {kind.shortened_to_days} of {kind.keep_days} days
    </Chip>
  );
}

function Size({ kind }: { kind: Retention }) {
  if (kind.bytes === null) return <span className="dimmed">not told</span>;
  if (kind.budget_bytes === null) return bytes(kind.bytes);
  const share = Math.min(1, kind.bytes / kind.budget_bytes);
  return (
    <>
      {bytes(kind.bytes)} of {bytes(kind.budget_bytes)}
      <span className={classes.bar} aria-hidden style={{ display: "block" }}>
        <span style={{ width: `${share * 100}%` }} />
      </span>
    </>
  );
}

function Outlook({ kind }: { kind: Retention }) {
  if (kind.budget_bytes === null) return <span className="dimmed">no budget</span>;
  const words = outlookWords(kind);
  if (kind.outlook === "full") return <Chip tone="critical">{words}</Chip>;
  const isSoon = kind.full_in_days !== null && kind.full_in_days <= 14;
  return isSoon ? <Chip tone="warning">{words}</Chip> : words;
}

function SetKind({ kind, onDone }: { kind: Retention; onDone: () => void }) {
  const queries = useQueryClient();
  const [days, setDays] = useState(String(kind.keep_days ?? ""));
  const [budget, setBudget] = useState(gigabytes(kind.budget_bytes));
  const [shorten, setShorten] = useState(kind.may_shorten);
  const budget_bytes = budgetOf(budget);
  const set = useMutation({
    mutationFn: () =>
      take(
        api.PUT("/api/v1/retention/{kind}", {
          params: { path: { kind: kind.kind } },
          body: {
            keep_days: kind.keep_days === null ? null : Number(days),
            budget_bytes: budget_bytes ?? null,
            may_shorten: shorten,
          },
        }),
      ),
    onSuccess: onDone,
    onSettled: () => queries.invalidateQueries({ queryKey: ["health"] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (budget_bytes !== undefined) set.mutate();
  };
  const isLess = kind.keep_days !== null && Number(days) < kind.keep_days;
  return (
    <Section title={`Set: ${kindWords(kind.kind)}`}>
      <Card>
        <form className={classes.form} onSubmit={submit} aria-label={`Set ${kindWords(kind.kind)}`}>
          {kind.keep_days === null ? null : (
            <TextInput
              label="Days"
              description={`${kind.least_days} to ${kind.most_days}`}
              type="number"
              min={kind.least_days ?? undefined}
              max={kind.most_days ?? undefined}
              required
              withAsterisk={false}
              value={days}
              onChange={(event) => setDays(event.currentTarget.value)}
            />
          )}
          <TextInput
            label="Budget in GiB"
            description="Empty: none"
            inputMode="decimal"
            value={budget}
            error={budget_bytes === undefined ? "Not a size" : undefined}
            onChange={(event) => setBudget(event.currentTarget.value)}
          />
          {kind.is_spans ? (
            <Checkbox
              label="Drop the oldest weeks when over the budget"
              checked={shorten}
              onChange={(event) => setShorten(event.currentTarget.checked)}
            />
          ) : null}
          <Button type="submit" loading={set.isPending}>
            Set
          </Button>
          <Button variant="default" onClick={onDone}>
            Cancel
          </Button>
          {isLess ? <p className={classes.note}>What is older is removed within minutes, for ever.</p> : null}
        </form>
        {set.error ? <Refused error={set.error} /> : null}
      </Card>
    </Section>
  );
}
