import { CloseButton } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { portHistoryQuery } from "../../api/queries";
import type { Holding } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { LoadMore } from "../../components/LoadMore";
import { Section } from "../../components/Page";
import { HostMoment } from "../../components/When";
import classes from "./tables.module.css";

const route = getRouteApi("/signed-in/hosts/$id");

type Props = { id: number; port: string; offset: number | null | undefined };

/** Who held one port of the host, from when to when, and how that is known. */
export function PortHolders({ id, port, offset }: Props) {
  const [protocol = "", number] = port.split("/");
  const query = useInfiniteQuery(portHistoryQuery(id, protocol, Number(number)));
  const navigate = route.useNavigate();
  const columns = useMemo(() => columnsFor(offset), [offset]);
  return (
    <Section
      title={`Who held ${port}`}
      aside={
        <span className="dimmed">
          <Link to="/ports/$protocol/$port" params={{ protocol, port: Number(number) }}>
            on every host
          </Link>{" "}
          <CloseButton
            size="xs"
            aria-label={`Close who held ${port}`}
            onClick={() => navigate({ search: (before) => ({ ...before, port: undefined }), replace: true })}
          />
        </span>
      }
    >
      <Content query={query}>
        {(data) => {
          const held = data.pages.flatMap((page) => page.held.items);
          if (held.length === 0) return <Nothing title={`Nobody is known to have held ${port}`} />;
          return (
            <>
              <DataTable
                label={`Who held ${port}`}
                rows={held}
                columns={columns}
                rowId={(row) => `${row.seen_from} ${row.address} ${row.pid} ${row.since}`}
              />
              <LoadMore {...query} />
            </>
          );
        }}
      </Content>
    </Section>
  );
}

function columnsFor(offset: Props["offset"]): Column<Holding>[] {
  return [
    {
      id: "process",
      header: "Process",
      width: "24%",
      cell: (row) => (
        <>
          {row.process ? (
            <span className="mono" title={row.image ?? undefined}>
              {row.process}
            </span>
          ) : (
            <span className="dimmed">not known</span>
          )}
          {row.pid === null ? null : <span className={classes.small}> PID {row.pid}</span>}
        </>
      ),
    },
    { id: "services", header: "Service", width: "16%", cell: (row) => row.services.join(", ") },
    {
      id: "address",
      header: "Address",
      width: "16%",
      cell: (row) => <span className="mono">{row.address}</span>,
    },
    {
      id: "from",
      header: "From",
      width: "24%",
      cell: (row) => (
        <>
          <HostMoment at={row.since} offset={offset} />
          <div className={classes.small}>
            {row.basis === "bind_time" ? "when it was bound" : "when it was first seen"}
          </div>
        </>
      ),
    },
    {
      id: "until",
      header: "Until",
      width: "20%",
      align: "right",
      cell: (row) => (row.until ? <HostMoment at={row.until} offset={offset} /> : "still"),
    },
  ];
}
