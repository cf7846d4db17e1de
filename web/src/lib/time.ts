// Times as people read them. All functions are pure: the moment is an argument.

import { useSyncExternalStore } from "react";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `41 s ago`, `3 min ago`, `5 h ago`, `2 days ago`, from two months on `2008-10-14`; for the future `in 3 min`. */
export function relative(at: string, now: number): string {
  const elapsed = now - Date.parse(at);
  if (elapsed > 60 * DAY) return day(at);
  const text = duration(Math.abs(elapsed));
  if (Math.abs(elapsed) < 5 * SECOND) return "just now";
  return elapsed < 0 ? `in ${text}` : `${text} ago`;
}

export function duration(milliseconds: number): string {
  if (milliseconds < MINUTE) return `${Math.round(milliseconds / SECOND)} s`;
  if (milliseconds < HOUR) return `${Math.floor(milliseconds / MINUTE)} min`;
  if (milliseconds < 2 * DAY) return `${Math.floor(milliseconds / HOUR)} h`;
  return `${Math.floor(milliseconds / DAY)} days`;
}

/** `2026-11-22 03:02:11 UTC` */
export function utc(at: string): string {
  return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** `2026-11-22 03:02:11` on the host's own clock; UTC where its offset is not known. */
export function hostTime(at: string, offsetMinutes: number | null | undefined): string {
  if (offsetMinutes === null || offsetMinutes === undefined) return utc(at);
  return new Date(Date.parse(at) + offsetMinutes * MINUTE).toISOString().slice(0, 19).replace("T", " ");
}

/** `+28 s`: how long after the boot. */
export function afterBoot(at: string, bootedAt: string): string {
  const elapsed = Date.parse(at) - Date.parse(bootedAt);
  return `${elapsed < 0 ? "−" : "+"}${duration(Math.abs(elapsed))}`;
}

/** `2008-10-14` */
export function day(at: string): string {
  return new Date(at).toISOString().slice(0, 10);
}

const TICK_MS = 5_000;
let tick = Date.now();
const watchers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  timer ??= setInterval(() => {
    tick = Date.now();
    for (const each of watchers) each();
  }, TICK_MS);
  return () => {
    watchers.delete(watcher);
    if (watchers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The present, to five seconds: one timer serves every time on the page. */
export function useNow(): number {
  return useSyncExternalStore(watch, () => tick);
}
