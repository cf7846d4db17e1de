// One event stream for the whole page. Hints say what changed, never what it changed to: they only stale queries, so a
// lost hint costs freshness and never truth. On `resync` all that is shown is fetched anew.

import type { QueryClient, QueryKey } from "@tanstack/react-query";
import type { LiveHint } from "./types";

/** `stale`: the stream has been away for so long that what is shown may be old. */
export type LiveState = "connecting" | "live" | "reconnecting" | "stale";

const SOON_MS = 500;
const LATER_MS = 5_000;
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

/** What a hint makes stale, and within how many milliseconds it is to be fetched anew. */
type Staled = { queryKey: QueryKey; within: number };

export function staledBy(hint: LiveHint): Staled[] {
  switch (hint.kind) {
    case "host":
      // Every report of every host hints; lists and sums over the fleet need not follow each one.
      return [
        { queryKey: ["host", Number(hint.id)], within: SOON_MS },
        ...among(["hosts"], ["overview"], ["clients"], ["forecast"]).map((each) => ({
          ...each,
          within: LATER_MS,
        })),
      ];
    case "finding":
      return among(
        ["finding", hint.id],
        ["findings"],
        ["problems"],
        ["problem"],
        ["overview"],
        ["hosts"],
        ["updates"],
        ["update"],
      );
    case "delivery":
      return among(["finding"]);
    case "catalog":
      return among(["catalog"]);
  }
}

function among(...keys: QueryKey[]): Staled[] {
  return keys.map((queryKey) => ({ queryKey, within: SOON_MS }));
}

/** Opens the stream and keeps it open until the returned function is called. */
export function startLive(queries: QueryClient, url = "/api/v1/live"): () => void {
  let source: EventSource | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let giveUp: ReturnType<typeof setTimeout> | undefined;
  // One timer a key: a burst of hints costs one fetch, and the first of them sets its time.
  const due = new Map<string, ReturnType<typeof setTimeout>>();

  const stale = ({ queryKey, within }: Staled) => {
    const name = `${within} ${JSON.stringify(queryKey)}`;
    if (due.has(name)) return;
    const fetchAnew = () => {
      due.delete(name);
      queries.invalidateQueries({ queryKey });
    };
    due.set(name, setTimeout(fetchAnew, within));
  };

  const receive = (event: MessageEvent<string>) =>
    staledBy(JSON.parse(event.data) as LiveHint).forEach(stale);

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
      // The server refused: the session may have ended, which its own query finds out.
      queries.invalidateQueries({ queryKey: ["session"] });
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
    for (const timer of [retry, giveUp, ...due.values()]) clearTimeout(timer);
    enter("connecting");
  };
}
