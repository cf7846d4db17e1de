import { Alert } from "@mantine/core";
import { Problem } from "../../api/client";
import { describe } from "../../lib/problems";

/** Why a change was not taken; faults of an entry stand line by line. */
export function Refused({ error }: { error: Error }) {
  const { title, advice } = describe(error);
  const isListed = error instanceof Problem && error.code.startsWith("catalog.") && error.detail;
  return (
    <Alert color="red" variant="light" role="alert" title={title}>
      {isListed ? <pre className="mono">{error.detail}</pre> : advice}
    </Alert>
  );
}
