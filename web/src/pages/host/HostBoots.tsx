import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { hostBootQuery, hostBootsQuery } from "../../api/queries";
import type { BootSummary } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { Section } from "../../components/Page";
import { Chip } from "../../components/Severity";
import { HostMoment, When } from "../../components/When";
import { count } from "../../lib/words";
import { BootTimeline } from "./BootTimeline";
import classes from "./HostBoots.module.css";
import { PortOverBoots } from "./PortOverBoots";

const route = getRouteApi("/signed-in/hosts/$id");

type Props = { id: number; offset: number | null | undefined };

/** What every boot of a host brought: who took which port, what failed, and who held one port boot after boot. */
export function HostBoots({ id, offset }: Props) {
  const query = useQuery(hostBootsQuery(id));
  const { boot: chosen } = route.useSearch();
  const columns = useMemo(() => columnsFor(offset), [offset]);
  return (
    <Content query={query}>
      {({ items }) => {
        const newest = items[0];
        if (!newest) {
          return (
            <Nothing title="No boot of this host is known">
              Boots are kept from the first report of an agent that names them. Captures tell of none.
            </Nothing>
          );
        }
        const shown = items.find((boot) => boot.number === chosen) ?? newest;
        return (
          <>
            <PortOverBoots id={id} shown={shown.number} offset={offset} />
            <Section title={`Boot ${shown.number}`} aside={<Standing boot={shown} newest={newest.number} />}>
              <OneBoot id={id} number={shown.number} offset={offset} />
            </Section>
            <Section title="All boots" aside={<span className="dimmed">{count(items.length, "boot")}</span>}>
              <DataTable
                label="All boots"
                rows={items}
                columns={columns}
                rowId={(boot) => String(boot.number)}
              />
            </Section>
          </>
        );
      }}
    </Content>
  );
}

function OneBoot({ id, number, offset }: Props & { number: number }) {
  const query = useQuery(hostBootQuery(id, number));
  return <Content query={query}>{(boot) => <BootTimeline boot={boot} offset={offset} />}</Content>;
}

function Standing({ boot, newest }: { boot: BootSummary; newest: number }) {
  return (
    <span className="dimmed">
      {boot.number === newest ? "the newest" : null} {ending(boot, newest)}
      {boot.omitted > 0 ? ` · ${count(boot.omitted, "entry", "entries")} more were not kept` : null}
    </span>
  );
}

function ending(boot: BootSummary, newest: number): string {
  switch (boot.shutdown) {
    case "asked":
      return "a restart or shutdown was asked for";
    case "clean":
      return "ended with a shutdown";
    case "unexpected":
      return "ended without a shutdown";
    default:
      return boot.number === newest ? "" : "how it ended is not known";
  }
}

function columnsFor(offset: number | null | undefined): Column<BootSummary>[] {
  return [
    {
      id: "number",
      header: "Boot",
      width: "90px",
      cell: (boot) => (
        <Link
          from="/hosts/$id"
          search={(before) => ({ ...before, tab: "boots" as const, boot: boot.number })}
          className="number"
        >
          {boot.number}
        </Link>
      ),
    },
    {
      id: "booted",
      header: "Booted",
      width: "190px",
      cell: (boot) =>
        boot.booted_at ? (
          <HostMoment at={boot.booted_at} offset={offset} />
        ) : (
          <span className="dimmed">not known</span>
        ),
    },
    {
      id: "failed",
      header: "Services that failed",
      cell: (boot) => {
        if (boot.failures === 0)
          return <span className="dimmed">{boot.services_seen ? "none" : "services could not be read"}</span>;
        const more = boot.failures - boot.failed_services.length;
        return (
          <>
            <Chip tone="critical">{boot.failures}</Chip>{" "}
            <span className={classes.names}>
              {boot.failed_services.join(", ")}
              {more > 0 ? ` and ${more} more` : null}
            </span>
          </>
        );
      },
    },
    {
      id: "ports",
      header: "Fixed ports bound",
      align: "right",
      width: "140px",
      cell: (boot) =>
        boot.sockets_seen ? (
          <span className="number">{boot.ports}</span>
        ) : (
          <span className="dimmed">not read</span>
        ),
    },
    {
      id: "seen",
      header: "Last seen",
      align: "right",
      width: "120px",
      cell: (boot) => <When at={boot.last_seen_at} />,
    },
  ];
}
