// What the tab of changes compares, and whether anything differs.

import type { HostChanges } from "../api/types";

export type Preset = "day" | "boots" | "update" | "times";

type Chosen = { from?: string; to?: string; around?: string; boots?: "last" };

/** Which of the ways to compare the URL names; without any, the last day. */
export function presetOf({ from, to, around, boots }: Chosen): Preset {
  if (around) return "update";
  if (boots) return "boots";
  return from || to ? "times" : "day";
}

/** Whether nothing differs in the sections that are known at both moments, of which there is at least one. */
export function isEmpty({ sockets, services, updates, host, port_policy }: HostChanges): boolean {
  if ([sockets, services, updates, host, port_policy].every((section) => section.unknown)) return false;
  const ports = sockets.value;
  const all = services.value;
  return [
    ports ? ports.came.length + ports.went.length + ports.taken_over.length + ports.bound_again : 0,
    all ? all.came.length + all.went.length + all.changed.length + all.restarted : 0,
    updates.value?.length ?? 0,
    host.value?.length ?? 0,
    port_policy.value?.length ?? 0,
  ].every((found) => found === 0);
}
