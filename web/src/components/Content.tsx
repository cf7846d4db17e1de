// What a page or table shows while it has nothing, is fetching, or failed to.

import { Alert, Button, EmptyState, Skeleton, Stack } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import { CircleSlash, CloudOff } from "lucide-react";
import type { ReactNode } from "react";
import { Problem } from "../api/client";
import { describe } from "../lib/problems";
import { utc } from "../lib/time";
import { NotFound } from "./NotFound";

type Fetched<T> = Pick<UseQueryResult<T>, "data" | "error" | "refetch" | "dataUpdatedAt" | "isFetching">;

/**
 * Loading, error and stale states in one place. What was fetched once stays on the page when a later fetch fails, with
 * a line that says how old it is.
 */
export function Content<T>({ query, children }: { query: Fetched<T>; children: (data: T) => ReactNode }) {
  const { data, error } = query;
  if (data === undefined) {
    if (!error) return <Loading />;
    if (isAbsent(error)) return <NotFound />;
    return <Failed query={query} />;
  }
  return (
    <>
      {error ? <Stale query={query} /> : null}
      {children(data)}
    </>
  );
}

function isAbsent(error: Error): boolean {
  return (
    error instanceof Problem && (error.code === "resource.not-found" || error.code === "request.bad-path")
  );
}

function Loading() {
  return (
    <Stack gap={10} py="xs" role="status" aria-label="Loading">
      {[92, 78, 85, 64, 88, 71].map((width) => (
        <Skeleton key={width} height={18} width={`${width}%`} radius="sm" />
      ))}
    </Stack>
  );
}

function Failed({ query }: { query: Fetched<unknown> }) {
  const { title, advice } = describe(query.error);
  return (
    <EmptyState
      py={48}
      role="alert"
      icon={<CloudOff size={28} aria-hidden />}
      title={title}
      description={advice}
    >
      <EmptyState.Actions>
        <Button variant="default" loading={query.isFetching} onClick={() => query.refetch()}>
          Try again
        </Button>
      </EmptyState.Actions>
    </EmptyState>
  );
}

function Stale({ query }: { query: Fetched<unknown> }) {
  const { title } = describe(query.error);
  return (
    <Alert color="gray" mb="md" py="xs" icon={<CloudOff size={16} aria-hidden />}>
      {title}. This is what was known at {utc(new Date(query.dataUpdatedAt).toISOString())}.
    </Alert>
  );
}

/** A table without rows: says why, and what would fill it. */
export function Nothing({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <EmptyState
      py={48}
      size="sm"
      icon={<CircleSlash size={26} aria-hidden />}
      title={title}
      description={children}
    />
  );
}
