// What the next reboot may cost, in words. Pure.

import type { Outlook, PoolDraw } from "../api/types";
import { count } from "./words";

/** `14.6 %`; never 0 for what can happen, nor 100 for what need not. */
export function percent(probability: number): string {
  const percents = probability * 100;
  if (probability > 0 && percents < 0.1) return "under 0.1 %";
  if (probability < 1 && percents > 99.9) return "over 99.9 %";
  return `${percents.toFixed(1)} %`;
}

/** An expected number: `0`, `0.15`, `12.3`. */
export function expected(number: number): string {
  if (number === 0) return "0";
  if (number < 0.01) return "under 0.01";
  return number.toFixed(number < 10 ? 2 : 1);
}

/** The page's first line. */
export function outlookSentence(outlook: Outlook): string {
  const { services, without_number, hosts, cannot_tell } = outlook;
  if (services === 0) {
    return cannot_tell > 0
      ? "No service is known to be at risk, and some hosts cannot be told"
      : "No service is at risk of losing a port at the next reboot";
  }
  const numbered = services - without_number;
  const at = `on ${count(hosts, "host")}`;
  if (numbered === 0) {
    return `${count(services, "service")} ${at} may lose a port at the next reboot; no formula says how likely`;
  }
  return `Of ${count(services, "service")} at risk ${at}, ${expected(outlook.expected)} are expected to fail at the next reboot`;
}

/** `1 − C(N−k, n) / C(N, n)` with its numbers: `k = 4 of N = 64,507 free ports, n = 2,500 drawn`. */
export function drawWords(draw: PoolDraw): string {
  const number = (value: number) => value.toLocaleString("en");
  return `k = ${number(draw.wanted)} of N = ${number(draw.free)} free ports, n = ${number(draw.drawn)} drawn`;
}
