// What the next boot of this host may take from its services, with every number that it rests on.

import { useQuery } from "@tanstack/react-query";
import { hostForecastQuery } from "../../api/queries";
import type { HostForecast as HostForecastData, ServiceForecast } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { Fact, Facts } from "../../components/Facts";
import { Card, Section } from "../../components/Page";
import { Chip } from "../../components/Severity";
import { drawWords, expected, percent } from "../../lib/forecast";
import { count } from "../../lib/words";
import classes from "./HostForecast.module.css";

export function HostForecast({ id }: { id: number }) {
  const query = useQuery(hostForecastQuery(id));
  return <Content query={query}>{(data) => <Body forecast={data} />}</Content>;
}

function Body({ forecast }: { forecast: HostForecastData }) {
  return (
    <>
      {forecast.cannot_tell.map((reason) => (
        <p key={reason} className={classes.unknown}>
          <Chip tone="unknown">cannot tell</Chip> {reason}
        </p>
      ))}
      {forecast.services.length === 0 ? (
        <Nothing
          title={
            forecast.cannot_tell.length > 0
              ? "No service is known to be at risk"
              : "No service is at risk of losing a port at the next boot"
          }
        />
      ) : (
        <>
          <p className={classes.answer}>
            {count(forecast.services.length, "service")} may lose a port at the next boot;{" "}
            {expected(forecast.expected)} expected to fail. To bring it to zero, reserve{" "}
            <span className="mono">{forecast.reserve.join(", ")}</span>.
          </p>
          {forecast.services.map((service) => (
            <Service key={service.service} service={service} />
          ))}
        </>
      )}
    </>
  );
}

function Service({ service }: { service: ServiceForecast }) {
  const { probability } = service;
  return (
    <Section
      title={service.service}
      aside={
        <strong className={classes.probability}>
          {probability === null ? "no number" : percent(probability)}
        </strong>
      }
    >
      <Card>
        {service.takers.map((taker) => (
          <div key={taker.taker} className={classes.taker}>
            <p className={classes.name}>{taker.name ?? taker.taker}</p>
            <Facts>
              <Fact name="May take">
                <span className="mono">{taker.ports.join(", ")}</span>
              </Fact>
              <Fact name="Probability">
                {taker.probability === null
                  ? "it takes ports in turn, and no formula tells"
                  : `${percent(taker.probability)} ${taker.condition}`}
              </Fact>
              {taker.draws.map((draw) => (
                <Fact key={`${draw.family} ${draw.range}`} name={draw.family === "ipv4" ? "IPv4" : "IPv6"}>
                  1 − C(N−k, n) / C(N, n) with {drawWords(draw)} from{" "}
                  <span className="mono">{draw.range}</span>, less {count(draw.excluded, "excluded port")} and{" "}
                  {count(draw.bound, "bound one")}: {percent(draw.probability)}
                </Fact>
              ))}
              {taker.boots ? (
                <Fact name="Seen">
                  it held one of them in {taker.boots.held} of {count(taker.boots.of, "boot")}
                </Fact>
              ) : null}
            </Facts>
          </div>
        ))}
      </Card>
    </Section>
  );
}
