// Severity and its kin: always a shape and a word, so that colour is never the only signal.

import { CircleAlert, CircleCheck, CircleDashed, Info, OctagonAlert, TriangleAlert } from "lucide-react";
import type { Severity } from "../api/types";
import classes from "./Severity.module.css";

const SHAPES = { critical: OctagonAlert, warning: TriangleAlert, info: Info };

/** Shape and word of an open finding; a resolved one is neither red nor amber. */
export function SeverityMark({ severity, state }: { severity: Severity; state: "open" | "resolved" }) {
  const Shape = state === "open" ? SHAPES[severity] : CircleCheck;
  return (
    <span className={classes.mark} data-tone={state === "open" ? severity : "unknown"}>
      <Shape size={14} aria-hidden />
      {state === "open" ? severity : `resolved`}
    </span>
  );
}

/** How many, with the shape of their severity; nothing for none. */
export function SeverityCount({ severity, count }: { severity: Severity; count: number }) {
  if (count === 0) return null;
  const Shape = SHAPES[severity];
  return (
    <span className={classes.count} data-tone={severity} title={`${count} ${severity}`}>
      <Shape size={13} aria-hidden />
      <span className="number">{count}</span>
      <span className={classes.hidden}> {severity}</span>
    </span>
  );
}

export type Tone = "critical" | "warning" | "info" | "good" | "unknown";

const TONE_SHAPES = {
  critical: CircleAlert,
  warning: TriangleAlert,
  info: Info,
  good: CircleCheck,
  unknown: CircleDashed,
};

/** A small word in a coloured outline, with the shape of its tone. */
export function Chip({ tone, children, title }: { tone: Tone; children: React.ReactNode; title?: string }) {
  const Shape = TONE_SHAPES[tone];
  return (
    <span className={classes.chip} data-tone={tone} title={title}>
      <Shape size={12} aria-hidden />
      <span>{children}</span>
    </span>
  );
}
