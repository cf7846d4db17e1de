import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { clientsQuery } from "../../api/queries";
import type { CaptureReport } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Belonging, isImportable } from "../../lib/captures";
import { utc } from "../../lib/time";
import classes from "../Captures.module.css";

const route = getRouteApi("/signed-in/captures");

type Props = { report: CaptureReport; isPending: boolean; onImport: (belonging: Belonging) => void };

/** Where the host belongs. Client and site stand in the URL: the next capture is often of the same place. */
export function ImportForm({ report, isPending, onImport }: Props) {
  const clients = useQuery(clientsQuery);
  const place = route.useSearch();
  const navigate = route.useNavigate();
  const [host, setHost] = useState(report.name ?? "");
  const [capturedAt, setCapturedAt] = useState("");
  if (!isImportable(report)) return null;

  return (
    <Content query={clients}>
      {({ items }) => {
        if (items.length === 0) {
          return (
            <Nothing title="There is no client yet">
              Make one on the server: portreeve-server client create, then site create.
            </Nothing>
          );
        }
        const client = items.find((each) => each.id === place.client) ?? items[0];
        const sites = client?.sites ?? [];
        const site = sites.find((each) => each.id === place.site) ?? sites[0];
        const submit = (event: FormEvent) => {
          event.preventDefault();
          if (client && site) onImport({ client: client.id, site: site.id, host, capturedAt });
        };
        return (
          <form className={classes.form} onSubmit={submit} aria-label="Import">
            <NativeSelect
              label="Client"
              value={client?.id}
              data={items.map(({ id, name }) => ({ value: String(id), label: name }))}
              onChange={(event) =>
                navigate({ search: { client: Number(event.currentTarget.value) }, replace: true })
              }
            />
            <NativeSelect
              label="Site"
              value={site?.id}
              data={sites.map(({ id, name }) => ({ value: String(id), label: name }))}
              error={sites.length === 0 ? "This client has no site; make one first" : undefined}
              onChange={(event) =>
                navigate({
                  search: { client: client?.id, site: Number(event.currentTarget.value) },
                  replace: true,
                })
              }
            />
            <TextInput
              label="Name of the server"
              description={report.name ? "As the capture has it" : "The capture does not say it"}
              required
              withAsterisk={false}
              maxLength={200}
              value={host}
              onChange={(event) => setHost(event.currentTarget.value)}
            />
            <TextInput
              label="Taken at, in your time"
              description={
                report.captured_at
                  ? `Leave empty: the capture says ${utc(report.captured_at)}`
                  : "Left empty, the time of the import counts"
              }
              type="datetime-local"
              value={capturedAt}
              onChange={(event) => setCapturedAt(event.currentTarget.value)}
            />
            <Button type="submit" loading={isPending} disabled={!site}>
              Import
            </Button>
          </form>
        );
      }}
    </Content>
  );
}
