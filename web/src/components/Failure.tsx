import { Button, EmptyState } from "@mantine/core";
import { useQueryErrorResetBoundary } from "@tanstack/react-query";
import { type ErrorComponentProps, useRouter } from "@tanstack/react-router";
import { CloudOff } from "lucide-react";
import { describe } from "../lib/problems";

/** A page that could not be shown at all. */
export function Failure({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const queries = useQueryErrorResetBoundary();
  const { title, advice } = describe(error);
  return (
    <EmptyState
      py={96}
      role="alert"
      icon={<CloudOff size={32} aria-hidden />}
      title={title}
      description={advice}
    >
      <EmptyState.Actions>
        <Button
          onClick={() => {
            queries.reset();
            reset();
            router.invalidate();
          }}
        >
          Try again
        </Button>
      </EmptyState.Actions>
    </EmptyState>
  );
}
