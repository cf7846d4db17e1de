import { Alert } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { History } from "lucide-react";
import { hostFactsQuery } from "../../api/queries";
import { HostMoment } from "../../components/When";
import type { HostTab } from "./tabs";

const route = getRouteApi("/signed-in/hosts/$id");

/** Tabs that tell of the present whatever moment is chosen. */
const PRESENT: readonly HostTab[] = ["findings", "plan", "reboot"];

type Props = { id: number; offset: number | null | undefined };

/** Says plainly that the past is shown, and whether the host was heard of then. */
export function PastBanner({ id, offset }: Props) {
  const { at } = route.useSearch();
  return at ? <Banner id={id} at={at} offset={offset} /> : null;
}

function Banner({ id, at, offset }: Props & { at: string }) {
  const { tab = "services" } = route.useSearch();
  const silence = useQuery(hostFactsQuery(id, at)).data?.as_of.silence;
  const isPresent = PRESENT.includes(tab);
  return (
    <Alert color="yellow" py="xs" mb="md" role="status" icon={<History size={16} aria-hidden />}>
      <strong>
        {isPresent ? "This tab tells of now." : "This is the past:"} <HostMoment at={at} offset={offset} />
      </strong>{" "}
      {isPresent ? "is chosen, and is shown by the tabs that tell of facts." : null}
      {silence ? (
        <>
          Nothing was heard of the host from <HostMoment at={silence.since} offset={offset} />{" "}
          {silence.until ? (
            <>
              until <HostMoment at={silence.until} offset={offset} />
            </>
          ) : (
            "on"
          )}
          : what is shown was true before.
        </>
      ) : null}
    </Alert>
  );
}
