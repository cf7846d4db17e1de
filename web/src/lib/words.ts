// Sentences that the pages say. Pure, so that tests can read them.

import type { LinkProps } from "@tanstack/react-router";
import type { Freshness, HostService, Overview, ProblemSummary, Transition } from "../api/types";
import { duration } from "./time";

/** `1 host`, `3 hosts`, `2,500 ports` */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** A part of a sentence that leads to what it speaks of. */
export type Clause = {
  text: string;
  to: LinkProps["to"];
  search?: Record<string, string | number | boolean>;
  tone: ClauseTone;
};
export type ClauseTone = "broken" | "possible" | "unknown" | "fine";

/** The state of the fleet as clauses of one sentence, the worst first. Never empty for a fleet with hosts. */
export function overviewClauses(overview: Overview): Clause[] {
  const { services_down, harmful_updates, possible_updates, next_reboot } = overview;
  const { stale_findings, cannot_tell_hosts, fleet } = overview;
  const clauses: Clause[] = [];
  if (services_down.findings > 0) {
    const { findings, hosts } = services_down;
    clauses.push({
      text: `${count(findings, "service is", "services are")} down because of ports on ${count(hosts, "host")}`,
      to: "/findings",
      search: { rule: "port-conflict/blocked" },
      tone: "broken",
    });
  }
  if (harmful_updates.entries > 0) {
    const { entries, hosts } = harmful_updates;
    clauses.push({
      text: `${count(entries, "known-bad update is", "known-bad updates are")} doing harm on ${count(hosts, "host")}`,
      to: "/findings",
      search: { rule: "bad-update" },
      tone: "broken",
    });
  }
  if (possible_updates.entries > 0) {
    const { entries, hosts } = possible_updates;
    clauses.push({
      text: `${count(entries, "update")} may do harm on ${count(hosts, "host")}`,
      to: "/findings",
      search: { rule: "bad-update", confidence: "possible" },
      tone: "possible",
    });
  }
  if (next_reboot.services > 0) {
    const { services, hosts } = next_reboot;
    clauses.push({
      text: `${count(services, "service")} on ${count(hosts, "host")} may lose a port at the next reboot`,
      to: "/reboot",
      tone: "possible",
    });
  }
  if (clauses.length === 0) {
    clauses.push({
      text: `Nothing is known to be broken on ${count(fleet.total, "host")}`,
      to: "/hosts",
      tone: "fine",
    });
  }
  if (cannot_tell_hosts > 0) {
    clauses.push({
      text: `something cannot be told on ${count(cannot_tell_hosts, "host")}`,
      to: "/hosts",
      tone: "unknown",
    });
  }
  if (stale_findings.findings > 0) {
    const { findings, hosts } = stale_findings;
    clauses.push({
      text: `${count(findings, "finding is", "findings are")} stale on ${count(hosts, "host")} not heard of`,
      to: "/findings",
      search: { stale: true },
      tone: "unknown",
    });
  }
  if (fleet.silent > 0) {
    clauses.push({
      text: `${count(fleet.silent, "host is", "hosts are")} silent`,
      to: "/hosts",
      search: { state: "silent" },
      tone: "unknown",
    });
  }
  return clauses;
}

/** `40 hosts of 3 clients`; of a resolved one the hosts that it was on. */
export function problemExtent(
  problem: Pick<ProblemSummary, "state" | "hosts" | "clients" | "hosts_ever">,
): string {
  if (problem.state === "resolved") return `was on ${count(problem.hosts_ever, "host")}`;
  return `${count(problem.hosts, "host")} of ${count(problem.clients, "client")}`;
}

/** The key of a problem as its page's path has it: its family, and the rest. */
export function problemParams(key: string): { family: string; _splat: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { family: key, _splat: "" }
    : { family: key.slice(0, slash), _splat: key.slice(slash + 1) };
}

export const FRESHNESS: Record<Freshness, { word: string; explanation: string }> = {
  reporting: { word: "reporting", explanation: "Its agent is connected and was heard of just now" },
  stale: { word: "stale", explanation: "Its agent has not been heard of for some minutes" },
  silent: {
    word: "silent",
    explanation: "Its agent has not been heard of for long: what is shown may be old",
  },
  capture: {
    word: "capture",
    explanation: "Known from the output of commands, imported: it does not change by itself",
  },
  retired: { word: "retired", explanation: "It is watched no longer; what was known of it stays" },
};

export const TRANSITION: Record<Transition, string> = {
  opened: "opened",
  resolved: "resolved",
  reopened: "came back",
  changed: "changed",
  silent: "fell silent",
  heard: "was heard of again",
};

/** What Windows means by the exit codes that the rules read; `null`: the number says no more than itself. */
export function exitCodeMeaning(code: number): string | null {
  switch (code) {
    case 0:
      return "stopped without an error";
    case 1066:
      return "the service's own code says why";
    case 1077:
      return "not started since the last boot";
    case 10013:
      return "access to the port denied";
    case 10048:
      return "address already in use";
    default:
      return null;
  }
}

/** `start_pending` as `start pending` */
export function plain(word: string): string {
  return word.replaceAll("_", " ");
}

/** `udp/1812`, `udp/49152-65535` */
export function portText(protocol: string, ports: string): string {
  return `${protocol}/${ports}`;
}

const RECOVERY = {
  none: "nothing",
  restart: "restart",
  restart_computer: "restart of the computer",
  run_command: "a command",
} as const;

/** `when it fails: restart after 5 s, then nothing`; nothing where it was not read. */
export function recoveryWords(recovery: HostService["recovery"]): string | null {
  if (!recovery) return null;
  if (recovery.actions.every((action) => action.kind === "none")) return "when it fails: nothing is done";
  const actions = recovery.actions.map(({ kind, delay_ms }) =>
    kind === "none" ? RECOVERY[kind] : `${RECOVERY[kind]} after ${duration(delay_ms)}`,
  );
  const stops = recovery.on_error_stop ? ", also when it stops with an error" : "";
  return `when it fails: ${actions.join(", then ")}${stops}`;
}
