import { Button } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { portQuery } from "../api/queries";
import type { PortHost } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { ClientFilter, FilterBar } from "../components/Filters";
import { LoadMore } from "../components/LoadMore";
import { MomentInput } from "../components/MomentInput";
import { Page } from "../components/Page";
import { useNow, utc } from "../lib/time";
import { count } from "../lib/words";

const route = getRouteApi("/signed-in/ports/$protocol/$port");

/** Which hosts have something on a port, now or at a moment. */
export function PortPage() {
  const { protocol, port } = route.useParams();
  const { at, client } = route.useSearch();
  const navigate = route.useNavigate();
  const now = useNow();
  const query = useInfiniteQuery(portQuery(protocol, port, { at, client }));
  const columns = useMemo(() => columnsFor(`${protocol}/${port}`, at), [protocol, port, at]);
  const show = (next: string | undefined) =>
    navigate({ search: (before) => ({ ...before, at: next }), replace: true });
  return (
    <Page
      title={`${protocol}/${port}`}
      heading={
        <>
          Who {at ? "had" : "has"}{" "}
          <span className="mono">
            {protocol}/{port}
          </span>
        </>
      }
      above={<Link to="/hosts">Hosts</Link>}
      below={at ? <span>as of {utc(at)}</span> : <span>now</span>}
    >
      <FilterBar>
        <ClientFilter
          value={client}
          onChoose={(next) => navigate({ search: (before) => ({ ...before, client: next }), replace: true })}
        />
        <MomentInput label="As of, in UTC" value={at} onChoose={show} />
        <Button size="xs" variant="default" onClick={() => show(lastSunday(now))}>
          Last Sunday
        </Button>
        <Button size="xs" variant="default" disabled={at === undefined} onClick={() => show(undefined)}>
          Now
        </Button>
      </FilterBar>
      <Content query={query}>
        {(data) => {
          const hosts = data.pages.flatMap((page) => page.hosts.items);
          const unknown = data.pages[0]?.unknown_hosts ?? 0;
          return (
            <>
              {hosts.length === 0 ? (
                <Nothing title={`No host is known to ${at ? "have had" : "have"} ${protocol}/${port}`} />
              ) : (
                <DataTable
                  label={`Hosts with ${protocol}/${port}`}
                  rows={hosts}
                  columns={columns}
                  rowId={({ host }) => String(host.id)}
                />
              )}
              <LoadMore {...query} />
              {unknown > 0 ? (
                <p className="dimmed">
                  Of {count(unknown, "host")} it cannot be told: their open ports {at ? "were" : "are"} not
                  known.
                </p>
              ) : null}
            </>
          );
        }}
      </Content>
    </Page>
  );
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Noon of the last Sunday, in UTC. */
function lastSunday(now: number): string {
  const day = new Date(now).getUTCDay() || 7;
  return `${new Date(now - day * DAY_MS).toISOString().slice(0, 10)}T12:00:00.000Z`;
}

function columnsFor(port: string, at: string | undefined): Column<PortHost>[] {
  return [
    {
      id: "host",
      header: "Host",
      width: "22%",
      cell: ({ host }) => (
        <Link to="/hosts/$id" params={{ id: host.id }} search={{ tab: "ports", port, at }}>
          {host.name}
        </Link>
      ),
    },
    {
      id: "place",
      header: "Client › site",
      width: "24%",
      cell: ({ client, site }) => (
        <>
          {client.name} <span className="dimmed">› {site.name}</span>
        </>
      ),
    },
    {
      id: "holder",
      header: "Holder",
      cell: ({ holders, unknown, silent_since }) => (
        <>
          {holders.map((holder) => (
            <div key={`${holder.address} ${holder.pid} ${holder.state}`}>
              <span className="mono" title={holder.image ?? undefined}>
                {holder.process ?? "owner not known"}
              </span>{" "}
              {holder.services.join(", ")} <span className="dimmed">{holder.address}</span>
            </div>
          ))}
          {unknown ? <div className="dimmed">known last, then unknown: {unknown}</div> : null}
          {silent_since ? <div className="dimmed">not heard of since {utc(silent_since)}</div> : null}
        </>
      ),
    },
    {
      id: "bound",
      header: "Bound",
      align: "right",
      width: "20%",
      cell: ({ holders }) => {
        const bound = holders.map((holder) => holder.bound_at).find((each) => each);
        return bound ? utc(bound) : <span className="dimmed">not known</span>;
      },
    },
  ];
}
