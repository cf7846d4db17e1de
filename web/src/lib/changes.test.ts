import { expect, test } from "vitest";
import type { HostChanges } from "../api/types";
import { isEmpty, presetOf } from "./changes";

const AT = { at: "2026-11-01T02:00:00Z", silence: null };
const NOTHING: HostChanges = {
  from: AT,
  to: AT,
  sockets: { value: { came: [], went: [], taken_over: [], bound_again: 0 }, unknown: null },
  services: { value: { came: [], went: [], changed: [], restarted: 0 }, unknown: null },
  updates: { value: [], unknown: null },
  host: { value: [], unknown: null },
  port_policy: { value: [], unknown: "not known before: access denied" },
};

test("the URL names one way to compare", () => {
  expect(presetOf({})).toBe("day");
  expect(presetOf({ boots: "last" })).toBe("boots");
  expect(presetOf({ around: "KB948609", to: AT.at })).toBe("update");
  expect(presetOf({ to: AT.at })).toBe("times");
});

test("what is unknown is no change, and a restart is one", () => {
  expect(isEmpty(NOTHING)).toBe(true);
  const again = { value: { came: [], went: [], taken_over: [], bound_again: 1 }, unknown: null };
  expect(isEmpty({ ...NOTHING, sockets: again })).toBe(false);
  const unknown = "not known before: not reported yet";
  const all = Object.fromEntries(
    Object.entries(NOTHING).map(([name, part]) => [name, "value" in part ? { ...part, unknown } : part]),
  );
  expect(isEmpty({ ...NOTHING, ...all }), "of what nobody knows, nothing is told").toBe(false);
});
