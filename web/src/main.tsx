import "@mantine/core/styles.css";
import "@mantine/spotlight/styles.css";
import "./theme.css";

import { MantineProvider } from "@mantine/core";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { isSignedOut, Problem } from "./api/client";
import { sessionQuery } from "./api/queries";
import { createAppRouter } from "./router";
import { theme } from "./theme";

const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      // The session ended while a page was open: sign in, then come back to it.
      if (!isSignedOut(error) || router.state.location.pathname === "/sign-in") return;
      queries.removeQueries({ queryKey: sessionQuery.queryKey });
      router.navigate({ to: "/sign-in", search: { return: router.state.location.href } });
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      retry: (failures, error) =>
        failures < 2 && error instanceof Problem && (error.status === 0 || error.status >= 500),
    },
  },
});

const router = createAppRouter(queries);

const container = document.getElementById("root");
if (!container) throw new Error("index.html has no #root");

createRoot(container).render(
  <StrictMode>
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
