import { Tooltip } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { type LiveState, liveState, subscribeLiveState } from "../api/live";
import classes from "./ConnectionBadge.module.css";

const WORDS: Record<LiveState, { label: string; explanation: string }> = {
  connecting: { label: "Connecting", explanation: "Opening the stream of changes" },
  live: { label: "Live", explanation: "Changes appear here as they are learned" },
  reconnecting: { label: "Reconnecting", explanation: "The stream of changes broke; trying again" },
  stale: { label: "Stale", explanation: "The server has not answered for a while: what you see may be old" },
};

/** Whether the page is being kept current. */
export function ConnectionBadge() {
  const state = useSyncExternalStore(subscribeLiveState, liveState);
  const { label, explanation } = WORDS[state];
  return (
    <Tooltip label={explanation} position="right" withArrow>
      <output className={classes.badge} data-state={state} aria-label={`Connection: ${label}`}>
        <span className={classes.dot} aria-hidden />
        {label}
      </output>
    </Tooltip>
  );
}
