import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { hostEventsQuery } from "../../api/queries";
import type { HostDetail, HostEvent } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { type Column, DataTable } from "../../components/DataTable";
import { FilterBar } from "../../components/Filters";
import { LoadMore } from "../../components/LoadMore";
import { SearchBox } from "../../components/SearchBox";
import { SectionNote } from "../../components/SectionNote";
import { HostMoment } from "../../components/When";
import { sectionOf } from "./sections";
import classes from "./tables.module.css";
import { useTableSearch } from "./useTableSearch";

type Props = { host: HostDetail; offset: number | null | undefined };

/** Entries of the event logs that tell of starts, failures, binds and updates. */
export function HostEvents({ host, offset }: Props) {
  const { q, at, onSearch } = useTableSearch();
  const query = useInfiniteQuery(hostEventsQuery(host.id, q, at));
  const columns = useMemo(() => columnsFor(offset), [offset]);
  const section = sectionOf(host, "events");
  return (
    <>
      <FilterBar>
        <SearchBox
          label="Search events"
          placeholder="Id such as 7023, or service"
          value={q}
          onSearch={onSearch}
        />
      </FilterBar>
      <SectionNote section={section} consequence="Shown is what was kept." />
      <Content query={query}>
        {(data) => {
          const events = data.pages.flatMap((page) => page.items);
          if (events.length === 0) {
            return (
              <Nothing title={q ? "No event has this id or service" : "No event is kept of this host"} />
            );
          }
          return (
            <>
              <DataTable
                label="Events"
                rows={events}
                columns={columns}
                rowId={(event) => `${event.log} ${event.record_id}`}
              />
              <LoadMore {...query} />
            </>
          );
        }}
      </Content>
    </>
  );
}

function columnsFor(offset: number | null | undefined): Column<HostEvent>[] {
  return [
    {
      id: "at",
      header: "When",
      width: "180px",
      cell: (event) =>
        event.at ? (
          <HostMoment at={event.at} offset={offset} />
        ) : (
          <span className="dimmed">
            learned <HostMoment at={event.learned_at} offset={offset} />
          </span>
        ),
    },
    {
      id: "event",
      header: "Event",
      cell: (event) => event.sentence ?? <Raw event={event} />,
    },
    {
      id: "service",
      header: "Service",
      width: "150px",
      cell: (event) => event.service ?? <span className="dimmed">–</span>,
    },
    {
      id: "source",
      header: "Source",
      width: "230px",
      cell: (event) => (
        <>
          {event.provider} <span className="mono">{event.event_id}</span>
          <div className={classes.small}>{event.log}</div>
        </>
      ),
    },
  ];
}

/** An event for whose id there is no sentence: its data as they are. */
function Raw({ event }: { event: HostEvent }) {
  if (event.data.length === 0) return <span className="dimmed">without data</span>;
  return (
    <span className={classes.small}>
      {event.data.map(({ name, value }) => (name ? `${name}: ${value}` : value)).join(" · ")}
    </span>
  );
}
