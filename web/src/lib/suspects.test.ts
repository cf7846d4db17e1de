import { expect, test } from "vitest";
import { small, suspicion, untold } from "./suspects";

const suspect = {
  kbs: ["KB5034439"],
  service: "W3SVC",
  confidence: "likely" as const,
  exposed: { failed: 14, hosts: 120 },
  compared: { failed: 1, hosts: 400 },
  clients: 3,
  same_weeks: true,
  rise: 0.114,
  odds_ratio_at_least: 8.94,
  p: 4e-9,
  q: 0.003,
  since: "2026-01-05T00:00:00Z",
  hosts: [],
};

test("a suspicion says how many of how many", () => {
  expect(suspicion(suspect)).toBe(
    "14 of 120 hosts with it had W3SVC fail within 72 h of the first boot, 1 of 400 comparable hosts without (q = 0.003). The share is 11.4 points higher, the odds at least 8.9 times.",
  );
  expect(suspicion({ ...suspect, kbs: ["KB1", "KB2"], clients: 1, same_weeks: false })).toContain(
    "They came with the same boots: it may be any of them. At one client only. Some of what",
  );
});

test("what cannot be told says why", () => {
  expect(untold({ kbs: ["KB1"], service: "IAS", exposed: { failed: 3, hosts: 5 }, compared: 1 })).toBe(
    "3 of 5 hosts with it had IAS fail within 72 h of the first boot; only 1 comparable host without it restarted, too few to compare with.",
  );
});

test("small numbers stay readable", () => {
  expect(small(0.0034)).toBe("0.003");
  expect(small(4e-9)).toBe("4e-9");
});
