import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { forecastQuery } from "../api/queries";
import type { ClientForecast, FleetForecast, HostOutlook } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { type Column, DataTable } from "../components/DataTable";
import { ClientFilter, FilterBar } from "../components/Filters";
import { LoadMore } from "../components/LoadMore";
import { Page, Section } from "../components/Page";
import { Chip } from "../components/Severity";
import { expected, outlookSentence } from "../lib/forecast";
import { count } from "../lib/words";
import classes from "./Reboot.module.css";

const route = getRouteApi("/signed-in/reboot");

/** What fails if every host reboots as it is now, and what to reserve so that nothing does. */
export function Reboot() {
  const { client } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(forecastQuery(client));
  const forecast = query.data?.pages[0];
  return (
    <Page
      title="Next reboot"
      heading={forecast ? `${outlookSentence(forecast.outlook)}.` : "Next reboot"}
      above="If every host reboots as it is now"
    >
      <FilterBar>
        <ClientFilter
          value={client}
          onChoose={(next) => navigate({ search: (before) => ({ ...before, client: next }) })}
        />
      </FilterBar>
      <Content query={query}>
        {(data) => {
          const [first] = data.pages;
          if (!first) return null;
          const hosts = data.pages.flatMap((page) => page.plan.items);
          return (
            <>
              <Figures forecast={first} />
              <Clients clients={first.clients} />
              <Section title="The plan that brings it to zero">
                {hosts.length === 0 ? (
                  <Nothing title="There is nothing to reserve">
                    {first.outlook.cannot_tell > 0
                      ? `Of ${count(first.outlook.cannot_tell, "host")} it cannot be told.`
                      : "No service needs a port that something draws at random or in turn."}
                  </Nothing>
                ) : (
                  <>
                    <p className={classes.note}>
                      With these ports reserved, what is known to take ports can take none of them
                      {first.conditions.length > 0
                        ? `; without, the numbers hold ${first.conditions.join(" and ")}`
                        : ""}
                      . The page of each host has its numbers.
                    </p>
                    <DataTable
                      label="The plan that brings it to zero"
                      rows={hosts}
                      columns={HOSTS}
                      rowId={(row) => String(row.host.id)}
                    />
                    <LoadMore {...query} />
                  </>
                )}
              </Section>
            </>
          );
        }}
      </Content>
    </Page>
  );
}

function Figures({ forecast }: { forecast: FleetForecast }) {
  const { services, without_number, hosts, cannot_tell } = forecast.outlook;
  const condition = forecast.conditions.length > 0 ? `, ${forecast.conditions.join(" and ")}` : "";
  return (
    <section className={classes.figures} aria-label="Figures">
      <Figure
        value={expected(forecast.outlook.expected)}
        tone={forecast.outlook.expected > 0 ? "possible" : "good"}
      >
        services expected to fail{condition}
      </Figure>
      <Figure value="0" tone="good">
        with the plan below
      </Figure>
      <Figure value={String(services)}>
        services at risk on {count(hosts, "host")}
        {without_number > 0 ? `, ${without_number} of them without a number` : ""}
      </Figure>
      <Figure value={String(cannot_tell)} tone={cannot_tell > 0 ? "unknown" : undefined}>
        hosts of which it cannot be told
      </Figure>
    </section>
  );
}

type FigureProps = { value: string; tone?: "possible" | "good" | "unknown"; children: React.ReactNode };

function Figure({ value, tone, children }: FigureProps) {
  return (
    <div className={classes.figure}>
      <span className={classes.number} data-tone={tone}>
        {value}
      </span>
      <span className={classes.label}>{children}</span>
    </div>
  );
}

const CLIENTS: Column<ClientForecast>[] = [
  {
    id: "client",
    header: "Client",
    cell: (row) => (
      <Link to="/reboot" search={{ client: row.client.id }} className={classes.host}>
        {row.client.name}
      </Link>
    ),
  },
  {
    id: "expected",
    header: "Expected failures",
    align: "right",
    width: "150px",
    cell: (row) => expected(row.expected),
  },
  { id: "services", header: "Services at risk", align: "right", width: "140px", cell: (row) => row.services },
  {
    id: "without",
    header: "Without a number",
    align: "right",
    width: "150px",
    cell: (row) => row.without_number,
  },
  { id: "hosts", header: "Hosts", align: "right", width: "90px", cell: (row) => row.hosts },
  {
    id: "unknown",
    header: "Cannot tell",
    align: "right",
    width: "140px",
    cell: (row) =>
      row.cannot_tell > 0 ? <Chip tone="unknown">{count(row.cannot_tell, "host")}</Chip> : null,
  },
];

function Clients({ clients }: { clients: ClientForecast[] }) {
  if (clients.length === 0) return null;
  return (
    <Section title="By client">
      <DataTable label="By client" rows={clients} columns={CLIENTS} rowId={(row) => String(row.client.id)} />
    </Section>
  );
}

const HOSTS: Column<HostOutlook>[] = [
  {
    id: "host",
    header: "Host",
    width: "14%",
    cell: (row) => (
      <Link to="/hosts/$id" params={{ id: row.host.id }} search={{ tab: "plan" }} className={classes.host}>
        {row.host.name}
      </Link>
    ),
  },
  {
    id: "place",
    header: "Client › site",
    width: "22%",
    cell: (row) => (
      <>
        {row.client.name} <span className="dimmed">› {row.site.name}</span>
      </>
    ),
  },
  {
    id: "services",
    header: "Services at risk",
    width: "20%",
    cell: (row) => <span className="mono">{row.services.join(", ")}</span>,
  },
  {
    id: "reserve",
    header: "Reserve",
    cell: (row) =>
      row.reserve.map((ports) => (
        <span key={ports} className={classes.ports}>
          {ports}
        </span>
      )),
  },
  {
    id: "expected",
    header: "Expected failures",
    align: "right",
    width: "150px",
    cell: (row) =>
      row.without_number === row.services.length ? (
        <span className="dimmed">no number</span>
      ) : (
        expected(row.expected)
      ),
  },
];
