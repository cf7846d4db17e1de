import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { type Column, DataTable } from "./DataTable";

type Row = { name: string; size: number | null };

const COLUMNS: Column<Row>[] = [
  { id: "name", header: "Name", cell: (row) => row.name, value: (row) => row.name },
  { id: "size", header: "Size", cell: (row) => row.size ?? "not known", value: (row) => row.size },
];
const ROWS: Row[] = [
  { name: "b", size: null },
  { name: "<b>a</b>", size: 10 },
  { name: "c", size: 9 },
];

afterEach(cleanup);

function show(sort?: string, rows = ROWS) {
  const onSort = vi.fn();
  render(
    <DataTable
      label="Things"
      rows={rows}
      columns={COLUMNS}
      rowId={(row) => row.name}
      sort={sort}
      onSort={onSort}
    />,
  );
  return onSort;
}

const names = () => screen.getAllByRole("row").map((row) => row.querySelector("td")?.textContent);

it("shows names as text", () => {
  show();
  expect(names()).toEqual([undefined, "b", "<b>a</b>", "c"]);
});

it("puts what is not known last, whichever way it is sorted", () => {
  show("size");
  expect(names()).toEqual([undefined, "c", "<b>a</b>", "b"]);
  cleanup();
  show("-size");
  expect(names()).toEqual([undefined, "<b>a</b>", "c", "b"]);
  expect(screen.getByRole("columnheader", { name: "Size" }).getAttribute("aria-sort")).toBe("descending");
});

it("asks for the order by what the URL will hold", () => {
  const onSort = show();
  fireEvent.click(screen.getByRole("button", { name: "Name" }));
  expect(onSort).toHaveBeenCalledWith("name");
});

it("keeps most rows of a long table out of the document, and says how many there are", () => {
  // Nothing has a height here by itself, and rows without one would all be in view.
  vi.spyOn(HTMLElement.prototype, "offsetHeight", "get").mockReturnValue(37);
  show(
    undefined,
    Array.from({ length: 5_000 }, (_, number) => ({ name: `row ${number}`, size: number })),
  );
  expect(screen.getByRole("table").getAttribute("aria-rowcount")).toBe("5001");
  expect(screen.getAllByRole("row").length).toBeLessThan(200);
});
