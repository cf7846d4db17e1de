import { expect, test } from "vitest";
import { budgetOf, bytes, gigabytes, outlookWords, seconds } from "./storage";

test("sizes have one decimal from a kibibyte on", () => {
  expect(bytes(512)).toBe("512 B");
  expect(bytes(1536)).toBe("1.5 KiB");
  expect(bytes(3 * 1024 ** 3)).toBe("3.0 GiB");
});

test("a budget is a number of gigabytes, or none", () => {
  expect(budgetOf("")).toBeNull();
  expect(budgetOf("1.5")).toBe(1.5 * 1024 ** 3);
  expect(budgetOf("-1")).toBeUndefined();
  expect(budgetOf("many")).toBeUndefined();
  expect(gigabytes(budgetOf("20"))).toBe("20");
  expect(gigabytes(null)).toBe("");
});

test("an outlook says when, or that nobody can", () => {
  expect(outlookWords({ outlook: "cannot-tell", full_in_days: null })).toBe("cannot tell yet");
  expect(outlookWords({ outlook: "will-be-full", full_in_days: 1.2 })).toBe("full in 1 day");
  expect(outlookWords({ outlook: "will-be-full", full_in_days: 40_000 })).toBe("in more than 10 years");
  expect(outlookWords({ outlook: "full", full_in_days: 0 })).toBe("budget used up");
});

test("seconds become minutes when they are many", () => {
  expect(seconds(0.23)).toBe("0.2 s");
  expect(seconds(300)).toBe("5 min");
});
