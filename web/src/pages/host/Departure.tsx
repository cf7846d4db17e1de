import { Alert, Button, Group } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, take } from "../../api/client";
import { sessionQuery } from "../../api/queries";
import type { HostDetail } from "../../api/types";
import { When } from "../../components/When";
import { Refused } from "../catalog/Refused";

/** What the page shows is not the present: the host left, or the server was restored since. */
export function Departure({ host }: { host: HostDetail }) {
  const { stream, retired_at, moved_to, moved_from } = host;
  return (
    <>
      {retired_at ? (
        <Alert color="gray" variant="light" mb="sm" title={moved_to ? "Moved to another client" : "Retired"}>
          Since <When at={retired_at} /> this host is watched no longer under this record. What was known of
          it stays here.{" "}
          {moved_to ? (
            <Link to="/hosts/$id" params={{ id: moved_to.host_id }}>
              Its record now
            </Link>
          ) : null}
        </Alert>
      ) : null}
      {moved_from ? (
        <Alert color="gray" variant="light" mb="sm" title="Came from another client">
          What was known before is on{" "}
          <Link to="/hosts/$id" params={{ id: moved_from.host_id }}>
            its record there
          </Link>
          .
        </Alert>
      ) : null}
      {stream?.backup_at ? (
        <Alert color="gray" variant="light" mb="sm" title="Restored from a backup">
          What this host told between <When at={stream.backup_at} /> and{" "}
          {stream.backup_heard_at ? <When at={stream.backup_heard_at} /> : "its next report"} is not known
          here.
        </Alert>
      ) : null}
    </>
  );
}

/** Takes a host out of lists, after a second press, or puts it back. Nothing for those who may only look. */
export function RetireButton({ host }: { host: HostDetail }) {
  const session = useQuery(sessionQuery);
  const queries = useQueryClient();
  const [asked, setAsked] = useState(false);
  const params = { path: { id: host.id } };
  const anew = () => {
    setAsked(false);
    return queries.invalidateQueries();
  };
  const retire = useMutation({
    mutationFn: () => take(api.POST("/api/v1/hosts/{id}/retire", { params, body: {} as never })),
    onSuccess: anew,
  });
  const bringBack = useMutation({
    mutationFn: () => take(api.POST("/api/v1/hosts/{id}/bring-back", { params, body: {} as never })),
    onSuccess: anew,
  });
  const error = retire.error ?? bringBack.error;
  if (session.data === undefined || session.data.role === "viewer" || host.moved_to) return null;
  if (host.retired_at) {
    return (
      <>
        <Button size="xs" variant="default" loading={bringBack.isPending} onClick={() => bringBack.mutate()}>
          Bring back
        </Button>
        {error ? <Refused error={error} /> : null}
      </>
    );
  }
  if (!asked) {
    return (
      <Button size="xs" variant="default" onClick={() => setAsked(true)}>
        Retire
      </Button>
    );
  }
  return (
    <Group gap="xs">
      <span>Its identity is revoked, its findings end, and it leaves every list.</span>
      <Button size="xs" color="red" loading={retire.isPending} onClick={() => retire.mutate()}>
        Retire {host.name}
      </Button>
      <Button size="xs" variant="default" onClick={() => setAsked(false)}>
        Keep it
      </Button>
      {error ? <Refused error={error} /> : null}
    </Group>
  );
}
