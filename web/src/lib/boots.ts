// Who held a port over the boots, as the page says it. Pure, so that tests can read it.

import type { BootHolder } from "../api/types";

/** `udp/1812` */
export function isPort(text: string): boolean {
  const match = /^(tcp|udp)\/(\d{1,5})$/.exec(text);
  return match !== null && Number(match[2]) <= 65_535;
}

/** `dns.exe (DNS)`, `nobody` or `not known`. */
export function holderName(boot: BootHolder): string {
  if (boot.state === "nobody") return "nobody";
  const holder = boot.holder;
  if (boot.state === "unknown" || !holder) return "not known";
  const process = holder.process ?? (holder.pid === null ? "a process" : `PID ${holder.pid}`);
  return holder.services.length > 0 ? `${holder.services.join(", ")} (${process})` : process;
}

export type Tally = { name: string; letter: string; boots: number };

/** Each holder with the boots in which it was first, most first; `–` is nobody and `?` is not known. */
export function holderTally(boots: BootHolder[]): Tally[] {
  const counts = new Map<string, { boots: number; state: BootHolder["state"] }>();
  for (const boot of boots) {
    const name = holderName(boot);
    const before = counts.get(name);
    counts.set(name, { boots: (before?.boots ?? 0) + 1, state: boot.state });
  }
  const rank = { held: 0, nobody: 1, unknown: 2 };
  const sorted = [...counts].toSorted(([, a], [, b]) => rank[a.state] - rank[b.state] || b.boots - a.boots);
  return sorted.map(([name, { boots, state }], index) => ({
    name,
    boots,
    letter:
      state === "nobody" ? "–" : state === "unknown" ? "?" : String.fromCharCode(65 + Math.min(index, 25)),
  }));
}
