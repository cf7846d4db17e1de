// What is said of suspect updates. Pure, so that tests can read it.

import type { SuspectUpdate, UntoldUpdate } from "../api/types";
import { count } from "./words";

/** `14 of 120 hosts with it had W3SVC fail within 72 h, 1 of 400 comparable hosts without (q = 0.003)`, and how sure that is. */
export function suspicion(suspect: SuspectUpdate): string {
  const { service, exposed, compared, kbs, clients } = suspect;
  const sentences = [
    `${exposed.failed} of ${count(exposed.hosts, "host")} with it had ${service} fail within 72 h of the first boot, ${compared.failed} of ${count(compared.hosts, "comparable host")} without (q = ${small(suspect.q)}).`,
    `The share is ${(suspect.rise * 100).toFixed(1)} points higher, the odds at least ${suspect.odds_ratio_at_least.toFixed(1)} times.`,
  ];
  if (kbs.length > 1) sentences.push("They came with the same boots: it may be any of them.");
  if (clients === 1) sentences.push("At one client only.");
  if (!suspect.same_weeks) sentences.push("Some of what it is compared with restarted in the weeks before.");
  return sentences.join(" ");
}

/** Why nothing can be said although services failed. */
export function untold({ service, exposed, compared }: UntoldUpdate): string {
  return `${exposed.failed} of ${count(exposed.hosts, "host")} with it had ${service} fail within 72 h of the first boot; only ${count(compared, "comparable host")} without it restarted, too few to compare with.`;
}

/** `0.003`, `4e-9` */
export function small(share: number): string {
  return share >= 0.001 ? share.toFixed(3) : share.toExponential(0);
}
