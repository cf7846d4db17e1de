// A table of any length: sorted by its headings, and with only the rows in view in the document once there are many.
// It scrolls with the page, so that there is one scroll bar and the headings stay in sight.

import {
  createColumnHelper,
  createSortedRowModel,
  rowSortingFeature,
  type SortingState,
  sortFn_alphanumeric,
  sortFn_basic,
  type Row as TableRow,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp } from "lucide-react";
import { type ReactNode, useLayoutEffect, useMemo, useRef, useState } from "react";
import classes from "./DataTable.module.css";

export type Column<Row> = {
  id: string;
  header: string;
  cell: (row: Row) => ReactNode;
  /** What the column sorts by; without it the column cannot be sorted. `null` (not known) comes last. */
  value?: (row: Row) => string | number | null | undefined;
  align?: "right";
  width?: string;
};

type Props<Row> = {
  /** What the table holds, for those who cannot see it. */
  label: string;
  rows: Row[];
  columns: Column<Row>[];
  rowId: (row: Row) => string;
  /** Column id, with `-` before it for descending; as it stands in the URL. */
  sort?: string;
  onSort?: (sort: string | undefined) => void;
};

const VIRTUAL_FROM = 120;
const ROW_HEIGHT = 37;

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric, basic: sortFn_basic },
});

export function DataTable<Row extends object>({ label, rows, columns, rowId, sort, onSort }: Props<Row>) {
  const definitions = useMemo(() => {
    const helper = createColumnHelper<typeof features, Row>();
    return columns.map(({ id, header, value, cell }) =>
      helper.accessor((row: Row): unknown => value?.(row) ?? undefined, {
        id,
        header,
        cell: (context) => cell(context.row.original),
        enableSorting: value !== undefined,
        sortUndefined: "last",
      }),
    );
  }, [columns]);

  const sorting: SortingState = sort ? [{ id: sort.replace(/^-/, ""), desc: sort.startsWith("-") }] : [];
  const table = useTable({
    features,
    columns: definitions,
    data: rows,
    getRowId: rowId,
    state: { sorting },
    onSortingChange: (update) => {
      const [first] = typeof update === "function" ? update(sorting) : update;
      onSort?.(first ? `${first.desc ? "-" : ""}${first.id}` : undefined);
    },
  });

  const sorted = table.getRowModel().rows;
  const layout = new Map(columns.map((column) => [column.id, column]));

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls sideways must be reachable by keyboard
    <section className={classes.region} tabIndex={0} aria-label={label}>
      <table className={classes.table} aria-rowcount={sorted.length + 1}>
        <colgroup>
          {columns.map((column) => (
            <col key={column.id} style={{ width: column.width }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {table.getFlatHeaders().map((header) => {
              const column = layout.get(header.id);
              const direction = header.column.getIsSorted();
              const Arrow = direction === "desc" ? ArrowDown : ArrowUp;
              return (
                <th
                  key={header.id}
                  scope="col"
                  data-align={column?.align}
                  aria-sort={
                    direction === "asc" ? "ascending" : direction === "desc" ? "descending" : undefined
                  }
                >
                  {onSort && column?.value ? (
                    <button
                      type="button"
                      className={classes.sort}
                      onClick={header.column.getToggleSortingHandler()}
                    >
                      {column.header}
                      <Arrow size={12} aria-hidden data-shown={direction !== false} />
                    </button>
                  ) : (
                    column?.header
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        {sorted.length < VIRTUAL_FROM ? (
          <tbody>
            {sorted.map((row, index) => (
              <BodyRow key={row.id} row={row} columns={columns} index={index} />
            ))}
          </tbody>
        ) : (
          <VirtualBody rows={sorted} columns={columns} />
        )}
      </table>
    </section>
  );
}

type BodyProps<Row extends object> = { rows: TableRow<typeof features, Row>[]; columns: Column<Row>[] };

function VirtualBody<Row extends object>({ rows, columns }: BodyProps<Row>) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [scrollMargin, setScrollMargin] = useState(0);
  useLayoutEffect(() => {
    if (body.current) setScrollMargin(body.current.getBoundingClientRect().top + window.scrollY);
  }, []);
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: (index) => rows[index]?.id ?? index,
    overscan: 12,
    scrollMargin,
  });
  const items = virtualizer.getVirtualItems();
  const above = (items[0]?.start ?? scrollMargin) - scrollMargin;
  const below = virtualizer.getTotalSize() - ((items.at(-1)?.end ?? scrollMargin) - scrollMargin);
  return (
    <tbody ref={body}>
      <Spacer height={above} />
      {items.map((item) => {
        const row = rows[item.index];
        if (!row) return null;
        return (
          <BodyRow
            key={row.id}
            row={row}
            columns={columns}
            index={item.index}
            measure={virtualizer.measureElement}
          />
        );
      })}
      <Spacer height={below} />
    </tbody>
  );
}

function Spacer({ height }: { height: number }) {
  if (height <= 0) return null;
  return (
    <tr aria-hidden>
      <td style={{ height, padding: 0, border: 0 }} />
    </tr>
  );
}

type RowProps<Row extends object> = {
  row: TableRow<typeof features, Row>;
  columns: Column<Row>[];
  index: number;
  measure?: (element: HTMLTableRowElement | null) => void;
};

function BodyRow<Row extends object>({ row, columns, index, measure }: RowProps<Row>) {
  return (
    <tr ref={measure} data-index={index} aria-rowindex={index + 2}>
      {columns.map((column) => (
        <td key={column.id} data-align={column.align}>
          {column.cell(row.original)}
        </td>
      ))}
    </tr>
  );
}
