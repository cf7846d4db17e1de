import { expect, it } from "vitest";
import type { Outlook } from "../api/types";
import { drawWords, expected, outlookSentence, percent } from "./forecast";

const none: Outlook = { expected: 0, services: 0, without_number: 0, hosts: 0, cannot_tell: 0 };

it("never says never of what can happen", () => {
  expect([0.1459, 0.0001, 0, 0.9999, 1].map(percent)).toEqual([
    "14.6 %",
    "under 0.1 %",
    "0.0 %",
    "over 99.9 %",
    "100.0 %",
  ]);
  expect([0, 0.001, 0.153, 12.34].map(expected)).toEqual(["0", "under 0.01", "0.15", "12.3"]);
});

it("says what is at risk, and does not call unknown safe", () => {
  expect(outlookSentence(none)).toBe("No service is at risk of losing a port at the next reboot");
  expect(outlookSentence({ ...none, cannot_tell: 2 })).toContain("cannot be told");
  expect(outlookSentence({ ...none, services: 1, without_number: 1, hosts: 1 })).toContain("no formula");
  expect(outlookSentence({ expected: 1.9, services: 4, without_number: 1, hosts: 3, cannot_tell: 0 })).toBe(
    "Of 4 services at risk on 3 hosts, 1.90 are expected to fail at the next reboot",
  );
});

it("shows the numbers of a draw", () => {
  const draw = {
    family: "ipv4" as const,
    range: "1025-65535",
    free: 64507,
    excluded: 0,
    bound: 4,
    drawn: 2500,
    wanted: 4,
    probability: 0.146,
  };
  expect(drawWords(draw)).toBe("k = 4 of N = 64,507 free ports, n = 2,500 drawn");
});
