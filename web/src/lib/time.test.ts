import { expect, it } from "vitest";
import { duration, hostTime, relative, utc } from "./time";

const NOW = Date.parse("2026-11-22T12:00:00Z");

it("says how long ago in the unit that matters", () => {
  expect(relative("2026-11-22T11:59:58Z", NOW)).toBe("just now");
  expect(relative("2026-11-22T11:59:19Z", NOW)).toBe("41 s ago");
  expect(relative("2026-11-22T11:30:00Z", NOW)).toBe("30 min ago");
  expect(relative("2026-11-21T12:00:00Z", NOW)).toBe("24 h ago");
  expect(relative("2026-11-12T12:00:00Z", NOW)).toBe("10 days ago");
  expect(relative("2008-10-14T00:00:00Z", NOW)).toBe("2008-10-14");
  expect(relative("2026-11-22T12:03:00Z", NOW)).toBe("in 3 min");
  expect(duration(59_400)).toBe("59 s");
});

it("shows a moment as the host's own clock had it", () => {
  expect(hostTime("2026-11-22T23:30:00Z", 120)).toBe("2026-11-23 01:30:00");
  expect(hostTime("2026-11-22T01:30:00Z", -300)).toBe("2026-11-21 20:30:00");
});

it("falls back to UTC, and says so, where the host's offset is not known", () => {
  expect(hostTime("2026-11-22T23:30:00Z", null)).toBe("2026-11-22 23:30:00 UTC");
  expect(utc("2026-11-22T23:30:00.123Z")).toBe("2026-11-22 23:30:00 UTC");
});
