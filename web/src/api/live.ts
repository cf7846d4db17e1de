// One event stream for the whole page. Hints say what changed, never what it changed to: they only stale queries, so a
// lost hint costs freshness and never truth. On `resync` all that is shown is fetched anew.

import type { QueryClient, QueryKey } from "@tanstack/react-query";
import type { LiveHint } from "./types";

/** `stale`: the stream has been away for so long that what is shown may be old. */
export type LiveState = "connecting" | "live" | "reconnecting" | "stale";

const FLUSH_EVERY_MS = 1_000;
const STALE_AFTER_MS = 20_000;
const RETRY_EVERY_MS = 3_000;

let state: LiveState = "connecting";
const listeners = new Set<() => void>();

export function liveState(): LiveState {
  return state;
}

export function subscribeLiveState(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function enter(next: LiveState) {
  if (state === next) return;
  state = next;
  for (const listener of listeners) listener();
}

/** The keys that a hint makes stale. */
export function staledBy(hint: LiveHint): QueryKey[] {
  switch (hint.kind) {
    case "host":
      return [["host", Number(hint.id)], ["hosts"], ["overview"], ["clients"]];
    case "finding":
      return [["finding", hint.id], ["findings"], ["overview"], ["hosts"], ["updates"], ["update"]];
    case "delivery":
      return [["finding"]];
  }
}

/** Opens the stream and keeps it open until the returned function is called. */
export function startLive(queries: QueryClient, url = "/api/v1/live"): () => void {
  let source: EventSource | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let giveUp: ReturnType<typeof setTimeout> | undefined;
  let flush: ReturnType<typeof setTimeout> | undefined;
  const pending = new Map<string, QueryKey>();

  const flushPending = () => {
    flush = undefined;
    for (const queryKey of pending.values()) queries.invalidateQueries({ queryKey });
    pending.clear();
  };

  const receive = (event: MessageEvent<string>) => {
    for (const key of staledBy(JSON.parse(event.data) as LiveHint)) pending.set(JSON.stringify(key), key);
    flush ??= setTimeout(flushPending, FLUSH_EVERY_MS);
  };

  const open = () => {
    source = new EventSource(url);
    source.onopen = () => {
      clearTimeout(giveUp);
      giveUp = undefined;
      enter("live");
    };
    source.onerror = () => {
      if (state === "live") enter("reconnecting");
      giveUp ??= setTimeout(() => enter("stale"), STALE_AFTER_MS);
      if (source?.readyState !== EventSource.CLOSED) return;
      clearTimeout(retry);
      retry = setTimeout(open, RETRY_EVERY_MS);
    };
    source.addEventListener("hint", receive);
    // Sent first on every connection, and whenever hints were missed.
    source.addEventListener("resync", () => queries.invalidateQueries());
  };

  open();
  return () => {
    source?.close();
    for (const timer of [retry, giveUp, flush]) clearTimeout(timer);
    enter("connecting");
  };
}
