import type { HostUpdate } from "../api/types";
import { Chip } from "./Severity";

/** What the catalog says of an update here; nothing where it says nothing. */
export function VerdictChip({ verdict }: { verdict: HostUpdate["verdict"] }) {
  switch (verdict) {
    case "harmful":
      return <Chip tone="critical">harmful here</Chip>;
    case "possible":
      return <Chip tone="warning">may be harmful</Chip>;
    default:
      return <span />;
  }
}
