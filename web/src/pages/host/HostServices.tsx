import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { hostServicesQuery } from "../../api/queries";
import type { HostService } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { FilterBar } from "../../components/Filters";
import { SearchBox } from "../../components/SearchBox";
import { SectionNote } from "../../components/SectionNote";
import { HostMoment } from "../../components/When";
import { exitCodeMeaning, plain, recoveryWords } from "../../lib/words";
import { PortNeed } from "./PortNeed";
import classes from "./tables.module.css";
import { holds, useTableSearch } from "./useTableSearch";

type Props = { id: number; offset: number | null | undefined };

export function HostServices({ id, offset }: Props) {
  const { q, sort, at, onSearch, onSort } = useTableSearch();
  const query = useQuery(hostServicesQuery(id, at));
  const columns = useMemo(() => columnsFor(offset), [offset]);
  return (
    <>
      <FilterBar>
        <SearchBox
          label="Search services"
          placeholder="Service, port or process"
          value={q}
          onSearch={onSearch}
        />
      </FilterBar>
      <Content query={query}>
        {(data) => {
          const services = data.items.filter((service) => fits(q, service));
          return (
            <>
              <SectionNote section={data.services} consequence="Shown is what was known last." />
              <SectionNote section={data.sockets} consequence="Who holds a port cannot be told." />
              {services.length === 0 ? (
                <Nothing title={q ? "No service fits this search" : "No service is known"} />
              ) : (
                <DataTable
                  label="Services"
                  rows={sort ? services : worstFirst(services)}
                  columns={columns}
                  rowId={(service) => service.name}
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

function fits(q: string | undefined, service: HostService): boolean {
  return holds(
    q,
    service.name,
    service.display_name,
    service.image_path,
    ...service.needs.flatMap((need) => [need.port, need.holder.process]),
    ...service.holds.map((group) => `${group.protocol}/${group.ports}`),
  );
}

/** Services with a finding first, then those that need ports, then the rest; each by name, as they came. */
function worstFirst(services: HostService[]): HostService[] {
  const rank = (service: HostService) => (service.finding_id ? 0 : service.needs.length > 0 ? 1 : 2);
  return services.toSorted((a, b) => rank(a) - rank(b));
}

function columnsFor(offset: number | null | undefined): Column<HostService>[] {
  return [
    {
      id: "name",
      header: "Service",
      width: "22%",
      value: (service) => service.name.toLowerCase(),
      cell: (service) => (
        <>
          <span className={classes.name}>{service.name}</span>
          {service.display_name && service.display_name !== service.name ? (
            <div className={classes.small}>{service.display_name}</div>
          ) : null}
        </>
      ),
    },
    {
      id: "state",
      header: "State",
      width: "14%",
      value: (service) => service.state,
      cell: (service) => (
        <>
          <span className={service.state === "running" ? undefined : "dimmed"}>{plain(service.state)}</span>
          {service.state_since ? (
            <div className={classes.small}>
              <HostMoment at={service.state_since} offset={offset} />
            </div>
          ) : null}
          {service.finding_id ? (
            <div>
              <Link to="/findings/$id" params={{ id: service.finding_id }} className={classes.finding}>
                see the finding
              </Link>
            </div>
          ) : null}
        </>
      ),
    },
    { id: "start", header: "Start", width: "10%", value: (service) => service.start, cell: startWords },
    {
      id: "needs",
      header: "Ports it needs",
      width: "27%",
      value: (service) => service.needs.length || null,
      cell: (service) => (
        <ul className={classes.needs}>
          {service.needs.map((need) => (
            <PortNeed key={`${need.port}-${need.when}`} need={need} service={service.name} offset={offset} />
          ))}
        </ul>
      ),
    },
    {
      id: "process",
      header: "Process",
      width: "14%",
      value: (service) => service.image_path,
      cell: (service) => (
        <>
          {service.image_path ? (
            <span className="mono" title={service.image_path}>
              {imageName(service.image_path)}
            </span>
          ) : null}
          {service.pid === null ? null : <div className={classes.small}>PID {service.pid}</div>}
          <More service={service} />
        </>
      ),
    },
    {
      id: "exit",
      header: "Last exit",
      align: "right",
      width: "13%",
      value: (service) => service.exit_code,
      cell: lastExit,
    },
  ];
}

/** What is rarely asked: account, dependencies, and what happens when it fails. */
function More({ service }: { service: HostService }) {
  const recovery = recoveryWords(service.recovery);
  if (!service.account && service.depends_on.length === 0 && !recovery) return null;
  return (
    <details className={classes.small}>
      <summary>configuration</summary>
      {service.account ? <div>runs as {service.account}</div> : null}
      {service.depends_on.length > 0 ? <div>starts after {service.depends_on.join(", ")}</div> : null}
      <div>{recovery ?? "recovery not read"}</div>
    </details>
  );
}

function startWords(service: HostService) {
  if (service.start === null) return <span className="dimmed">not read</span>;
  const extras = [service.delayed ? "delayed" : null, service.trigger_start ? "trigger" : null].filter(
    Boolean,
  );
  return (
    <>
      {service.start}
      {extras.length > 0 ? <div className={classes.small}>{extras.join(", ")}</div> : null}
    </>
  );
}

function lastExit({ state, exit_code, service_exit_code }: HostService) {
  if (typeof exit_code !== "number" || (exit_code === 0 && state === "running")) return null;
  const code = exit_code === 1066 ? (service_exit_code ?? exit_code) : exit_code;
  const meaning = exitCodeMeaning(code);
  return (
    <>
      <span className="mono">{code}</span>
      {meaning ? <div className={classes.small}>{meaning}</div> : null}
    </>
  );
}

/** `dns.exe` of `C:\Windows\System32\dns.exe`, with or without quotes and arguments. */
function imageName(path: string): string {
  const quoted = /^"([^"]+)"/.exec(path)?.[1];
  const program = quoted ?? /^.*?\.exe\b/i.exec(path)?.[0] ?? path;
  return program.split(/[\\/]/).at(-1) ?? program;
}
