import { Button, EmptyState } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { Anchor as AnchorIcon } from "lucide-react";

export function NotFound() {
  return (
    <EmptyState
      py={96}
      icon={<AnchorIcon size={32} aria-hidden />}
      title="There is nothing at this address"
      description="The page, host or finding does not exist, or you may not see it."
    >
      <EmptyState.Actions>
        <Button renderRoot={(props) => <Link to="/" {...props} />}>Go to the overview</Button>
      </EmptyState.Actions>
    </EmptyState>
  );
}
