import { Alert } from "@mantine/core";
import { CircleDashed } from "lucide-react";
import type { SectionStatus } from "../api/types";
import { When } from "./When";

/** Above a table whose source could not be read: what it shows is what was known last. */
export function SectionNote({ section, consequence }: { section: SectionStatus; consequence: string }) {
  if (section.state === "known") return null;
  return (
    <Alert color="gray" variant="default" py="xs" mb="md" icon={<CircleDashed size={16} aria-hidden />}>
      Unknown: {section.reason ?? "the source could not be read"}. {consequence}
      {section.learned_at ? (
        <>
          {" "}
          Last learned <When at={section.learned_at} />.
        </>
      ) : null}
    </Alert>
  );
}
