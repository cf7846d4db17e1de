// The steps of a remedy: numbered, with commands to copy. Shown, never run.

import type { Finding, Step } from "../api/types";
import { Command } from "./Copy";
import classes from "./Steps.module.css";

export const RESTART: Record<Finding["remedy"]["restart"], string> = {
  none: "nothing restarts",
  service: "services restart, the server does not",
  server: "the server restarts",
};

export function Steps({ label, steps }: { label: string; steps: Step[] }) {
  return (
    <ol className={classes.steps} aria-label={label}>
      {steps.map((step) => (
        <li key={`${step.text}-${step.command}`}>
          <div>{step.text}</div>
          {step.command ? <Command text={step.command} /> : null}
        </li>
      ))}
    </ol>
  );
}
