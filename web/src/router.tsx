// Every screen and its URL. The URL is the state: what a page shows follows from its path and search alone.

import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { isSignedOut } from "./api/client";
import {
  type CatalogFilter,
  type FindingFilter,
  type HostFilter,
  type ProblemFilter,
  sessionQuery,
} from "./api/queries";
import { Failure } from "./components/Failure";
import { NotFound } from "./components/NotFound";
import { Shell } from "./components/Shell";
import { type CatalogTab, catalogTabs } from "./pages/catalog/tabs";
import { type HostSearch, hostTabs } from "./pages/host/tabs";

const root = createRootRouteWithContext<{ queries: QueryClient }>()({ component: Outlet });

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: (search): { return?: string } => ({ return: word(search.return) }),
  component: lazyRouteComponent(() => import("./pages/SignIn"), "SignIn"),
});

const signedIn = createRoute({
  getParentRoute: () => root,
  id: "signed-in",
  beforeLoad: async ({ context, location }) => {
    try {
      await context.queries.ensureQueryData(sessionQuery);
    } catch (error) {
      if (isSignedOut(error)) throw redirect({ to: "/sign-in", search: { return: location.href } });
      throw error;
    }
  },
  component: Shell,
});

const overview = createRoute({
  getParentRoute: () => signedIn,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/Overview"), "Overview"),
});

const findings = createRoute({
  getParentRoute: () => signedIn,
  path: "/findings",
  validateSearch: (search): FindingFilter => ({
    state: one(["open", "resolved", "all"] as const, search.state),
    severity: one(["critical", "warning", "info"] as const, search.severity),
    confidence: one(["certain", "likely", "possible"] as const, search.confidence),
    client: number(search.client),
    host: number(search.host),
    rule: word(search.rule),
    stale: search.stale === true ? true : undefined,
    q: word(search.q),
  }),
  component: lazyRouteComponent(() => import("./pages/Findings"), "Findings"),
});

const finding = createRoute({
  getParentRoute: () => signedIn,
  path: "/findings/$id",
  component: lazyRouteComponent(() => import("./pages/Finding"), "FindingPage"),
});

const problems = createRoute({
  getParentRoute: () => signedIn,
  path: "/problems",
  validateSearch: (search): ProblemFilter => ({
    state: one(["open", "resolved", "all"] as const, search.state),
    client: number(search.client),
  }),
  component: lazyRouteComponent(() => import("./pages/Problems"), "Problems"),
});

// The slash of a key stands as it is: `/problems/taker/dns-socket-pool`.
const problem = createRoute({
  getParentRoute: () => signedIn,
  path: "/problems/$family/$",
  component: lazyRouteComponent(() => import("./pages/Problem"), "ProblemPage"),
});

const reboot = createRoute({
  getParentRoute: () => signedIn,
  path: "/reboot",
  validateSearch: (search): { client?: number } => ({ client: number(search.client) }),
  component: lazyRouteComponent(() => import("./pages/Reboot"), "Reboot"),
});

const hosts = createRoute({
  getParentRoute: () => signedIn,
  path: "/hosts",
  validateSearch: (search): HostFilter => ({
    client: number(search.client),
    q: word(search.q),
    state: one(["reporting", "stale", "silent", "capture", "retired"] as const, search.state),
  }),
  component: lazyRouteComponent(() => import("./pages/Hosts"), "Hosts"),
});

const host = createRoute({
  getParentRoute: () => signedIn,
  path: "/hosts/$id",
  params: { parse: ({ id }) => ({ id: Number(id) }), stringify: ({ id }) => ({ id: String(id) }) },
  validateSearch: (search): HostSearch => ({
    tab: one(hostTabs, search.tab),
    q: word(search.q),
    sort: word(search.sort),
    boot: number(search.boot),
    port: word(search.port),
    at: moment(search.at),
    from: moment(search.from),
    to: moment(search.to),
    around: word(search.around),
    boots: one(["last"] as const, search.boots),
  }),
  component: lazyRouteComponent(() => import("./pages/Host"), "HostPage"),
});

const captures = createRoute({
  getParentRoute: () => signedIn,
  path: "/captures",
  validateSearch: (search): { client?: number; site?: number } => ({
    client: number(search.client),
    site: number(search.site),
  }),
  component: lazyRouteComponent(() => import("./pages/Captures"), "Captures"),
});

const catalog = createRoute({
  getParentRoute: () => signedIn,
  path: "/catalog",
  validateSearch: (search): { tab?: CatalogTab } & CatalogFilter => ({
    tab: one(catalogTabs, search.tab),
    q: word(search.q),
    kind: one(["bad-update", "claim", "taker"] as const, search.kind),
  }),
  component: lazyRouteComponent(() => import("./pages/Catalog"), "Catalog"),
});

const health = createRoute({
  getParentRoute: () => signedIn,
  path: "/health",
  component: lazyRouteComponent(() => import("./pages/Health"), "Health"),
});

const updates = createRoute({
  getParentRoute: () => signedIn,
  path: "/updates",
  validateSearch: (search): { q?: string } => ({ q: word(search.q) }),
  component: lazyRouteComponent(() => import("./pages/Updates"), "Updates"),
});

const update = createRoute({
  getParentRoute: () => signedIn,
  path: "/updates/$kb",
  component: lazyRouteComponent(() => import("./pages/Update"), "UpdatePage"),
});

const port = createRoute({
  getParentRoute: () => signedIn,
  path: "/ports/$protocol/$port",
  params: {
    parse: ({ protocol, port }) => ({ protocol, port: Number(port) }),
    stringify: ({ protocol, port }) => ({ protocol, port: String(port) }),
  },
  validateSearch: (search): { at?: string; client?: number } => ({
    at: moment(search.at),
    client: number(search.client),
  }),
  component: lazyRouteComponent(() => import("./pages/Port"), "PortPage"),
});

export function createAppRouter(queries: QueryClient) {
  return createRouter({
    routeTree: root.addChildren([
      signIn,
      signedIn.addChildren([
        overview,
        problems,
        problem,
        findings,
        finding,
        reboot,
        hosts,
        host,
        captures,
        updates,
        update,
        port,
        catalog,
        health,
      ]),
    ]),
    context: { queries },
    defaultPreload: "intent",
    defaultPreloadStaleTime: 0,
    defaultErrorComponent: Failure,
    defaultNotFoundComponent: NotFound,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}

// Members of the search that are not understood are dropped, never an error: a link may be older than the page.

function one<const T extends string>(allowed: readonly T[], value: unknown): T | undefined {
  return allowed.find((each) => each === value);
}

function word(value: unknown): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A time as the API writes it. */
function moment(value: unknown): string | undefined {
  return typeof value === "string" && !Number.isNaN(Date.parse(value))
    ? new Date(value).toISOString()
    : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
