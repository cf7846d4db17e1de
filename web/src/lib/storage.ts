// Sizes and budgets as people read and write them. All functions are pure.

import type { Retention } from "../api/types";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;
const GIB = 1024 ** 3;

/** `512 B`, `1.5 GiB` */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `0.2 s`, `3 min` */
export function seconds(value: number): string {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  return `${Math.round(value / 60)} min`;
}

/** Gigabytes of a form; `null`: no budget, `undefined`: not a size. */
export function budgetOf(text: string): number | null | undefined {
  if (text.trim() === "") return null;
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? Math.round(value * GIB) : undefined;
}

export function gigabytes(count: number | null | undefined): string {
  return count === null || count === undefined ? "" : String(Math.round((count / GIB) * 100) / 100);
}

/** When the budget is used up, in words. */
export function outlookWords(kind: Pick<Retention, "outlook" | "full_in_days">): string {
  switch (kind.outlook) {
    case "cannot-tell":
      return "cannot tell yet";
    case "not-in-sight":
      return "not in sight";
    case "full":
      return "budget used up";
    case "will-be-full": {
      const days = Math.round(kind.full_in_days ?? 0);
      return days > 3650 ? "in more than 10 years" : `full in ${days} ${days === 1 ? "day" : "days"}`;
    }
  }
}

const KIND_WORDS: Record<Retention["kind"], string> = {
  "socket-spans": "History of sockets",
  "service-spans": "History of services",
  "update-spans": "History of updates",
  "section-spans": "History of sections",
  silences: "Silences of hosts",
  events: "Events",
  boots: "Boots",
  findings: "Findings",
  deliveries: "Webhooks",
  quarantine: "Quarantined reports",
  facts: "Facts of the present",
  other: "Everything else",
  wal: "Write-ahead log",
  total: "Database and log",
};

export function kindWords(kind: Retention["kind"]): string {
  return KIND_WORDS[kind];
}
