import { expect, it } from "vitest";
import { splitWaiting } from "./waiting";

const rows = (...ids: string[]) => ids.map((id) => ({ id }));
const ids = (list: { id: string }[]) => list.map((row) => row.id).join("");

it("shows everything at first", () => {
  expect(ids(splitWaiting(rows("a", "b"), undefined).shown)).toBe("ab");
});

it("keeps what came in among the rows shown behind the pill", () => {
  const { shown, waiting } = splitWaiting(rows("n", "a", "m", "b"), new Set("ab"));
  expect(ids(shown)).toBe("ab");
  expect(ids(waiting)).toBe("nm");
});

it("shows a further page at once", () => {
  const { shown, waiting } = splitWaiting(rows("a", "b", "c", "d"), new Set("ab"));
  expect(ids(shown)).toBe("abcd");
  expect(waiting).toEqual([]);
});

it("drops rows that are gone, and shows the first ones of an empty list", () => {
  expect(ids(splitWaiting(rows("b"), new Set("ab")).shown)).toBe("b");
  expect(ids(splitWaiting(rows("a"), new Set()).shown)).toBe("a");
});
