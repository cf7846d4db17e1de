/**
 * Splits a list that changes while it is read: rows that came in among those already shown wait behind a pill, so that
 * nothing moves under the mouse. Rows below the last one shown (a further page) are shown at once.
 */
export function splitWaiting<Row extends { id: string }>(
  rows: Row[],
  accepted: ReadonlySet<string> | undefined,
): { shown: Row[]; waiting: Row[] } {
  if (!accepted) return { shown: rows, waiting: [] };
  const last = rows.findLastIndex((row) => accepted.has(row.id));
  const shown: Row[] = [];
  const waiting: Row[] = [];
  rows.forEach((row, index) => {
    (index < last && !accepted.has(row.id) ? waiting : shown).push(row);
  });
  return { shown, waiting };
}
