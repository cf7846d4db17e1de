// A remedy as a file: every command as the page shows it, every sentence as a remark.

import type { Finding, Step } from "../api/types";

/**
 * All commands, one a line, for one paste into an elevated command prompt. Empty where a step that is done by hand comes
 * before one of them: pasted together, they would run ahead of it.
 */
export function commandsInOneGo(steps: Step[]): string {
  const lastCommand = steps.findLastIndex((step) => step.command);
  const upToIt = steps.slice(0, lastCommand + 1);
  if (upToIt.some((step) => !step.command)) return "";
  return upToIt.map((step) => step.command).join("\r\n");
}

/** The remedy as a command script that stops where a step is to be done by hand. */
export function script(finding: Finding): string {
  const { remedy } = finding;
  const lines = [
    "@echo off",
    remark(finding.title),
    remark(`Host: ${finding.host.name}, ${finding.client.name}`),
    remark(`For ${remedy.applies_to}. Run it in an elevated command prompt on that host, after reading it.`),
    remark(`Risk: ${remedy.risk}`),
    remark(`Proven when: ${remedy.proven_when}`),
    "",
    ...steps(remedy.steps),
    ...(remedy.undo.length > 0
      ? [remark("What follows undoes it. It does not run by itself."), "exit /b", ""]
      : []),
    ...steps(remedy.undo),
  ];
  return `${lines.join("\r\n")}\r\n`;
}

function steps(all: Step[]): string[] {
  return all.flatMap((step, index) => [
    remark(`${index + 1}. ${step.text}`),
    ...(step.command ? [step.command] : [remark("This step is done by hand."), "pause"]),
    "",
  ]);
}

/**
 * A remark that the command processor cannot read as anything else. Names in it come from hosts: line ends, variables
 * and operators are taken out of it.
 */
function remark(text: string): string {
  return `rem ${text.replace(/[\p{Cc}\p{Zl}\p{Zp}%!&|<>^]/gu, " ")}`;
}

/** `portreeve-DC2-port-conflict-blocked.cmd` */
export function scriptName(finding: Finding): string {
  const words = `${finding.host.name}-${finding.rule}`.replace(/[^A-Za-z0-9]+/g, "-");
  return `portreeve-${words}.cmd`;
}
