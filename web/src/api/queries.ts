// One entry per resource. The first member of each key is the resource, so that a live hint can name what it stales.

import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";

export type FindingFilter = {
  state?: "open" | "resolved" | "all";
  severity?: "critical" | "warning" | "info";
  confidence?: "certain" | "likely" | "possible";
  client?: number;
  host?: number;
  rule?: string;
  /** Only those of hosts that were not heard of for a while. */
  stale?: true;
  q?: string;
};

export type HostFilter = {
  client?: number;
  q?: string;
  state?: "reporting" | "stale" | "silent" | "capture" | "retired";
};

export type ProblemFilter = { state?: "open" | "resolved" | "all"; client?: number };

const PAGE = 100;

/** Of answers that are one page of a list; the rows of before stay while others load. */
const PAGED = {
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page: { next_cursor?: string | null }) => page.next_cursor ?? undefined,
  placeholderData: keepPreviousData,
};

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/session", { signal })),
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
});

export const overviewQuery = queryOptions({
  queryKey: ["overview"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/overview", { signal })),
});

export const healthQuery = queryOptions({
  queryKey: ["health"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/health", { signal })),
  refetchInterval: 15_000,
});

export const clientsQuery = queryOptions({
  queryKey: ["clients"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/clients", { signal })),
  staleTime: 60_000,
});

export const findingsQuery = (filter: FindingFilter) =>
  infiniteQueryOptions({
    queryKey: ["findings", filter],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/findings", {
          params: {
            query: {
              ...filter,
              // What is open is what is asked for; `all` is the absence of the filter.
              state: filter.state === "all" ? undefined : (filter.state ?? "open"),
              cursor: pageParam,
              limit: PAGE,
            },
          },
          signal,
        }),
      ),
    ...PAGED,
  });

export const findingQuery = (id: string) =>
  queryOptions({
    queryKey: ["finding", id],
    queryFn: ({ signal }) => take(api.GET("/api/v1/findings/{id}", { params: { path: { id } }, signal })),
  });

export const problemsQuery = (filter: ProblemFilter) =>
  infiniteQueryOptions({
    queryKey: ["problems", filter],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/problems", {
          params: {
            query: {
              ...filter,
              state: filter.state === "all" ? undefined : (filter.state ?? "open"),
              cursor: pageParam,
              limit: PAGE,
            },
          },
          signal,
        }),
      ),
    ...PAGED,
  });

export const problemQuery = (key: string) =>
  infiniteQueryOptions({
    queryKey: ["problem", key],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/problems/{key}", {
          params: { path: { key }, query: { cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.members.next_cursor ?? undefined,
  });

export const forecastQuery = (client: number | undefined) =>
  infiniteQueryOptions({
    queryKey: ["forecast", client ?? "all"],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/forecast", {
          params: { query: { client, cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.plan.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  });

export const hostForecastQuery = (id: number) =>
  queryOptions({
    queryKey: ["host", id, "forecast"],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/forecast", { params: { path: { id } }, signal })),
  });

export const hostsQuery = (filter: HostFilter) =>
  infiniteQueryOptions({
    queryKey: ["hosts", filter],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/hosts", {
          params: { query: { ...filter, cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    ...PAGED,
  });

export const hostQuery = (id: number) =>
  queryOptions({
    queryKey: ["host", id],
    queryFn: ({ signal }) => take(api.GET("/api/v1/hosts/{id}", { params: { path: { id } }, signal })),
  });

export const hostServicesQuery = (id: number, at?: string) =>
  queryOptions({
    queryKey: ["host", id, "services", at ?? "now"],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/services", { params: { path: { id }, query: { at } }, signal })),
  });

export const hostPlanQuery = (id: number) =>
  queryOptions({
    queryKey: ["host", id, "plan"],
    queryFn: ({ signal }) => take(api.GET("/api/v1/hosts/{id}/plan", { params: { path: { id } }, signal })),
  });

export const hostPortsQuery = (id: number, at?: string) =>
  queryOptions({
    queryKey: ["host", id, "ports", at ?? "now"],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/ports", { params: { path: { id }, query: { at } }, signal })),
  });

export const hostUpdatesQuery = (id: number, at?: string) =>
  queryOptions({
    queryKey: ["host", id, "updates", at ?? "now"],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/updates", { params: { path: { id }, query: { at } }, signal })),
  });

export const hostFactsQuery = (id: number, at: string) =>
  queryOptions({
    queryKey: ["host", id, "facts", at],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/facts", { params: { path: { id }, query: { at } }, signal })),
  });

/** When the host changed last before a moment, and first after it. */
export const hostStepsQuery = (id: number, at?: string) =>
  queryOptions({
    queryKey: ["host", id, "steps", at ?? "now"],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/steps", { params: { path: { id }, query: { at } }, signal })),
    placeholderData: keepPreviousData,
  });

export type Between = {
  from?: string;
  to?: string;
  from_boot?: number;
  to_boot?: number;
  around?: string;
};

export const hostChangesQuery = (id: number, between: Between) =>
  queryOptions({
    queryKey: ["host", id, "changes", between],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/changes", { params: { path: { id }, query: between }, signal })),
    retry: false,
  });

export const portHistoryQuery = (id: number, protocol: string, port: number) =>
  infiniteQueryOptions({
    queryKey: ["host", id, "port-history", protocol, port],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/hosts/{id}/ports/{protocol}/{port}/history", {
          params: { path: { id, protocol, port }, query: { cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.held.next_cursor ?? undefined,
  });

export const portQuery = (protocol: string, port: number, filter: { at?: string; client?: number }) =>
  infiniteQueryOptions({
    queryKey: ["hosts", "port", protocol, port, filter],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/ports/{protocol}/{port}", {
          params: { path: { protocol, port }, query: { ...filter, cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.hosts.next_cursor ?? undefined,
  });

/** When an update came to each host. */
export const updateHistoryQuery = (kb: string) =>
  infiniteQueryOptions({
    queryKey: ["update", kb, "history"],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/updates/{kb}/history", {
          params: { path: { kb }, query: { cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    ...PAGED,
  });

export const hostBootsQuery = (id: number) =>
  queryOptions({
    queryKey: ["host", id, "boots"],
    queryFn: ({ signal }) => take(api.GET("/api/v1/hosts/{id}/boots", { params: { path: { id } }, signal })),
  });

export const hostBootQuery = (id: number, boot: number) =>
  queryOptions({
    queryKey: ["host", id, "boots", boot],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/hosts/{id}/boots/{boot}", { params: { path: { id, boot } }, signal })),
  });

export const portHoldersQuery = (id: number, port: string) =>
  queryOptions({
    queryKey: ["host", id, "holders", port],
    queryFn: ({ signal }) =>
      take(
        api.GET("/api/v1/hosts/{id}/boots/holders", { params: { path: { id }, query: { port } }, signal }),
      ),
  });

/** `q` is the id of an event, or the key name of a service. */
export const hostEventsQuery = (id: number, q: string | undefined, before?: string) =>
  infiniteQueryOptions({
    queryKey: ["host", id, "events", q ?? "", before ?? "now"],
    queryFn: ({ pageParam, signal }) => {
      const isId = q !== undefined && /^\d{1,5}$/.test(q);
      const filter = isId ? { id: Number(q) } : { service: q };
      return take(
        api.GET("/api/v1/hosts/{id}/events", {
          params: { path: { id }, query: { ...filter, before, cursor: pageParam, limit: PAGE } },
          signal,
        }),
      );
    },
    ...PAGED,
  });

export const updatesQuery = (q: string | undefined) =>
  infiniteQueryOptions({
    queryKey: ["updates", q ?? ""],
    queryFn: ({ pageParam, signal }) =>
      take(api.GET("/api/v1/updates", { params: { query: { q, cursor: pageParam, limit: PAGE } }, signal })),
    ...PAGED,
  });

/** Suspects that `kb` is one of; all of them without one. */
export const suspectsQuery = (kb?: string) =>
  queryOptions({
    queryKey: ["updates", "suspects", kb ?? ""],
    queryFn: ({ signal }) => take(api.GET("/api/v1/suspects", { params: { query: { kb } }, signal })),
  });

export const updateQuery = (kb: string) =>
  infiniteQueryOptions({
    queryKey: ["update", kb],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/updates/{kb}", {
          params: { path: { kb }, query: { cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.hosts.next_cursor ?? undefined,
  });

/** Where the server gives away the agent's package, if its installation has one. */
export const AGENT_PACKAGE = "/agent/portreeve-agent.msi";

export const agentPackageQuery = queryOptions({
  queryKey: ["agent-package"],
  queryFn: async ({ signal }) => (await fetch(AGENT_PACKAGE, { method: "HEAD", signal })).ok,
});

export type CatalogFilter = { q?: string; kind?: "bad-update" | "claim" | "taker" };

export const catalogQuery = (filter: CatalogFilter) =>
  infiniteQueryOptions({
    queryKey: ["catalog", "entries", filter],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/catalog/entries", {
          params: { query: { ...filter, cursor: pageParam, limit: PAGE } },
          signal,
        }),
      ),
    ...PAGED,
  });

export const ownEntriesQuery = queryOptions({
  queryKey: ["catalog", "own"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/catalog/own-entries", { signal })),
});

export const overridesQuery = queryOptions({
  queryKey: ["catalog", "overrides"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/catalog/overrides", { signal })),
});

export const releasesQuery = queryOptions({
  queryKey: ["catalog", "releases"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/catalog/releases", { signal })),
});

export const shadowQuery = (id: string) =>
  queryOptions({
    queryKey: ["catalog", "shadow", id],
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/catalog/releases/{id}/shadow", { params: { path: { id } }, signal })),
  });
