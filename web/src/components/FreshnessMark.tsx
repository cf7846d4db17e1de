import { Archive, CircleDashed, ClipboardList, Radio, RadioTower } from "lucide-react";
import type { Freshness } from "../api/types";
import { FRESHNESS } from "../lib/words";
import classes from "./Severity.module.css";

const LOOKS = {
  reporting: { icon: RadioTower, tone: "good" },
  stale: { icon: Radio, tone: "warning" },
  silent: { icon: CircleDashed, tone: "unknown" },
  capture: { icon: ClipboardList, tone: "unknown" },
  retired: { icon: Archive, tone: "unknown" },
} as const;

/** Whether we would know if something changed on the host. */
export function FreshnessMark({ freshness }: { freshness: Freshness }) {
  const { icon: Icon, tone } = LOOKS[freshness];
  return (
    <span className={classes.mark} data-tone={tone} title={FRESHNESS[freshness].explanation}>
      <Icon size={14} aria-hidden />
      {FRESHNESS[freshness].word}
    </span>
  );
}
