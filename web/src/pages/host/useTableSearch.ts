import { getRouteApi } from "@tanstack/react-router";

const route = getRouteApi("/signed-in/hosts/$id");

/** Filter and order of the table in the current tab, as they stand in the URL. */
export function useTableSearch() {
  const { q, sort, at, port } = route.useSearch();
  const navigate = route.useNavigate();
  return {
    q,
    sort,
    at,
    port,
    onSearch: (next: string | undefined) =>
      navigate({ search: (before) => ({ ...before, q: next }), replace: true }),
    onSort: (next: string | undefined) =>
      navigate({ search: (before) => ({ ...before, sort: next }), replace: true }),
  };
}

/** Whether one of the texts holds what is searched for. */
export function holds(q: string | undefined, ...texts: (string | null | undefined)[]): boolean {
  if (!q) return true;
  const wanted = q.toLowerCase();
  return texts.some((text) => text?.toLowerCase().includes(wanted));
}
