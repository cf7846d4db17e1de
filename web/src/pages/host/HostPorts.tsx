import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { hostPortsQuery } from "../../api/queries";
import type { PortGroup } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { FilterBar } from "../../components/Filters";
import { SearchBox } from "../../components/SearchBox";
import { SectionNote } from "../../components/SectionNote";
import { HostMoment } from "../../components/When";
import { isPort } from "../../lib/boots";
import { count } from "../../lib/words";
import { PortHolders } from "./PortHolders";
import classes from "./tables.module.css";
import { holds, useTableSearch } from "./useTableSearch";

type Props = { id: number; offset: number | null | undefined };

export function HostPorts({ id, offset }: Props) {
  const { q, sort, at, port, onSearch, onSort } = useTableSearch();
  const query = useQuery(hostPortsQuery(id, at));
  const columns = useMemo(() => columnsFor(offset), [offset]);
  return (
    <>
      <FilterBar>
        <SearchBox
          label="Search ports"
          placeholder="udp/1812, process or service"
          value={q}
          onSearch={onSearch}
        />
      </FilterBar>
      {port && isPort(port) ? <PortHolders key={port} id={id} port={port} offset={offset} /> : null}
      <Content query={query}>
        {(data) => {
          const groups = data.items.filter((group) => fits(q, group));
          return (
            <>
              <SectionNote section={data.sockets} consequence="Shown is what was known last." />
              {groups.length === 0 ? (
                <Nothing title={q ? "No port fits this search" : "No port is known to be open"} />
              ) : (
                <DataTable
                  label="Ports"
                  rows={groups}
                  columns={columns}
                  rowId={({ protocol, address, state, pid, ports }) =>
                    [protocol, address, state, pid, ports].join(" ")
                  }
                  sort={sort}
                  onSort={onSort}
                />
              )}
            </>
          );
        }}
      </Content>
    </>
  );
}

const PORT = /^(tcp|udp)\/(\d+)$/;

/** `udp/1812` finds the row whose ports span that number; anything else is text. */
function fits(q: string | undefined, group: PortGroup): boolean {
  const port = PORT.exec(q?.toLowerCase() ?? "");
  if (port) {
    const number = Number(port[2]);
    return group.protocol === port[1] && group.first <= number && number <= group.last;
  }
  return holds(q, `${group.protocol}/${group.ports}`, group.image, group.address, ...group.services);
}

/** How many runs of ports are still read at a glance. */
const AT_A_GLANCE = 8;

/** The ports of a row; a pool of random ones as one line, with its ports behind it. */
function Ports({ group }: { group: PortGroup }) {
  if (group.ports.split(",").length <= AT_A_GLANCE) {
    return (
      <>
        <span className="mono">
          {group.protocol}/{group.ports}
        </span>
        {group.count === 1 ? (
          <Link
            from="/hosts/$id"
            search={(before) => ({ ...before, port: `${group.protocol}/${group.first}` })}
            className={classes.aside}
          >
            who held it
          </Link>
        ) : null}
      </>
    );
  }
  return (
    <details>
      <summary className={classes.pool}>
        <span className="mono">{group.protocol}</span>, {count(group.count, "port")} within{" "}
        <span className="mono">
          {group.first}-{group.last}
        </span>
      </summary>
      <span className="mono">{group.ports}</span>
    </details>
  );
}

function columnsFor(offset: number | null | undefined): Column<PortGroup>[] {
  return [
    {
      id: "ports",
      header: "Ports",
      width: "28%",
      value: (group) => `${group.protocol}/${String(group.first).padStart(5, "0")}`,
      cell: (group) => <Ports group={group} />,
    },
    {
      id: "count",
      header: "Count",
      align: "right",
      width: "7%",
      value: (group) => group.count,
      cell: (group) => (group.count === 1 ? "1" : <strong>{group.count.toLocaleString("en")}</strong>),
    },
    {
      id: "process",
      header: "Process",
      width: "20%",
      value: (group) => group.process?.toLowerCase(),
      cell: (group) => (
        <>
          {group.process ? (
            <span className="mono" title={group.image ?? undefined}>
              {group.process}
            </span>
          ) : (
            <span className="dimmed">not known</span>
          )}
          {group.pid === null ? null : <span className={classes.small}> PID {group.pid}</span>}
        </>
      ),
    },
    {
      id: "services",
      header: "Service",
      width: "16%",
      value: (group) => group.services[0]?.toLowerCase(),
      cell: (group) => (
        <>
          {group.services.join(", ")}
          {group.services.length > 1 ? (
            <div className={classes.small}>{count(group.services.length, "candidate")}</div>
          ) : null}
        </>
      ),
    },
    {
      id: "address",
      header: "Address",
      width: "13%",
      value: (group) => group.address,
      cell: (group) => (
        <>
          <span className="mono">{group.address}</span> <span className={classes.small}>{group.state}</span>
        </>
      ),
    },
    {
      id: "bound",
      header: "Bound",
      align: "right",
      width: "16%",
      value: (group) => group.bound_at,
      cell: (group) =>
        group.bound_at ? (
          <HostMoment at={group.bound_at} offset={offset} />
        ) : (
          <span className="dimmed">not known</span>
        ),
    },
  ];
}
