import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { hostFactsQuery } from "../../api/queries";
import type { HostDetail, PortPolicy } from "../../api/types";
import { Content } from "../../components/Content";
import { Fact, Facts } from "../../components/Facts";
import { Card, Section } from "../../components/Page";
import { SectionNote } from "../../components/SectionNote";
import { Chip } from "../../components/Severity";
import { HostMoment, When } from "../../components/When";
import { plain } from "../../lib/words";
import { HostConnections } from "./HostConnections";
import classes from "./HostFacts.module.css";
import { sectionOf } from "./sections";
import { useTableSearch } from "./useTableSearch";

/** The host and its port policy, as they are or as they were at a moment. */
export function HostFacts({ host }: { host: HostDetail }) {
  const { at } = useTableSearch();
  if (at) return <FactsThen id={host.id} at={at} />;
  return (
    <div className={classes.columns}>
      <div>
        <About facts={host.facts.host} />
        <Collectors host={host} />
        <Collection host={host} />
      </div>
      <div>
        <Policy policy={host.facts.port_policy} />
        <HostConnections host={host} />
      </div>
    </div>
  );
}

function FactsThen({ id, at }: { id: number; at: string }) {
  const query = useQuery(hostFactsQuery(id, at));
  return (
    <Content query={query}>
      {(then) => (
        <>
          {then.sections
            .filter(({ section }) => section === "host" || section === "port_policy")
            .map((section) => (
              <SectionNote
                key={section.section}
                section={section}
                consequence={`This was so for the ${plain(section.section)}; shown is what was known last.`}
              />
            ))}
          <div className={classes.columns}>
            <About facts={then.host} />
            <Policy policy={then.port_policy} />
          </div>
        </>
      )}
    </Content>
  );
}

function About({ facts }: { facts: HostDetail["facts"]["host"] }) {
  if (!facts) {
    return (
      <Section title="Host">
        <p className={classes.quiet}>Not reported yet.</p>
      </Section>
    );
  }
  const offset = facts.utc_offset_minutes;
  return (
    <Section title="Host">
      <Card>
        <Facts>
          <Fact name="Name">{facts.name}</Fact>
          <Fact name="Domain">{facts.domain ?? <NotKnown />}</Fact>
          <Fact name="System">
            {facts.os_name} {facts.service_pack ?? ""}
          </Fact>
          <Fact name="Booted">
            {facts.booted_at ? <HostMoment at={facts.booted_at} offset={offset} /> : <NotKnown />}
          </Fact>
          <Fact name="Clock">
            {offset === null || offset === undefined ? <NotKnown /> : utcOffset(offset)}
          </Fact>
          <Fact name="Domain controller">{yesOrNo(facts.domain_controller)}</Fact>
          <Fact name="Products">
            <Known of={facts.products}>
              {(products) =>
                products.length === 0
                  ? "none"
                  : products.map((product) => (
                      <div key={product.id}>
                        {product.name} <span className="mono">{product.version ?? "version not read"}</span>
                      </div>
                    ))
              }
            </Known>
          </Fact>
          <Fact name="Wants a restart">
            <Known of={facts.pending_restart}>
              {(reasons) =>
                reasons.length === 0 ? "no" : reasons.map((reason) => <div key={reason}>{reason}</div>)
              }
            </Known>
          </Fact>
          <Fact name="Roles">
            <Known of={facts.roles}>{(roles) => (roles.length === 0 ? "none" : roles.join(", "))}</Known>
          </Fact>
        </Facts>
      </Card>
    </Section>
  );
}

const COLLECTOR_TONES = { ok: "good", degraded: "warning", unavailable: "unknown" } as const;

function Collectors({ host }: { host: HostDetail }) {
  const collectors = host.facts.host?.collectors ?? [];
  return (
    <Section title="What can be read on this host">
      {collectors.length === 0 ? (
        <p className={classes.quiet}>
          {host.collected_by === "capture"
            ? "A capture holds what its commands printed."
            : "Not reported by this agent version."}
        </p>
      ) : (
        <Card>
          <Facts>
            {collectors.map((collector) => (
              <Fact key={collector.name} name={collector.name.replaceAll("-", " ")}>
                <Chip tone={COLLECTOR_TONES[collector.state]}>{collector.state}</Chip>{" "}
                <span className="dimmed">{collector.reason}</span>
              </Fact>
            ))}
          </Facts>
        </Card>
      )}
    </Section>
  );
}

function Collection({ host }: { host: HostDetail }) {
  return (
    <Section title="How it is known">
      <Card>
        <Facts>
          <Fact name="Source">
            {host.collected_by === "capture"
              ? "a capture: output of commands"
              : `agent ${host.agent_version ?? ""}`}
          </Fact>
          <Fact name="Enrolled">
            <When at={host.enrolled_at} />
          </Fact>
          {host.sections
            .map(({ section }) => sectionOf(host, section))
            .map((section) => (
              <Fact key={section.section} name={section.section.replace("_", " ")}>
                {section.state === "known" ? (
                  <>
                    learned <When at={section.learned_at} />
                  </>
                ) : (
                  <Unknown reason={section.reason} />
                )}
              </Fact>
            ))}
        </Facts>
        {host.stream ? <StreamFacts stream={host.stream} /> : null}
      </Card>
    </Section>
  );
}

function StreamFacts({ stream }: { stream: NonNullable<HostDetail["stream"]> }) {
  return (
    <div className={classes.stream}>
      <Facts>
        <Fact name="Stream">
          {stream.connected_at ? (
            <>
              opened <When at={stream.connected_at} />
            </>
          ) : (
            "not open"
          )}
        </Fact>
        <Fact name="Reports applied">{stream.seq.toLocaleString("en")}</Fact>
        <Fact name="Clock skew">{(stream.clock_skew_ms / 1_000).toFixed(1)} s</Fact>
        {stream.quarantined > 0 ? (
          <Fact name="Set aside">{stream.quarantined} reports that could not be applied</Fact>
        ) : null}
        {stream.gaps > 0 ? <Fact name="Lost">{stream.gaps} reports that the agent lost</Fact> : null}
        {stream.dropped_rows > 0 ? (
          <Fact name="Left out">{stream.dropped_rows} rows that could not be stored</Fact>
        ) : null}
        {stream.fork_seen_at ? (
          <Fact name="Copies">
            two machines took turns with this identity, seen <When at={stream.fork_seen_at} />
          </Fact>
        ) : null}
        {stream.clone ? (
          <Fact name="Another machine">
            {stream.clone.fingerprint ? <span className="mono">{stream.clone.fingerprint} </span> : null}
            {stream.clone.address ? `from ${stream.clone.address} ` : ""}
            was refused with this identity <When at={stream.clone.seen_at} />
          </Fact>
        ) : null}
        {stream.restored_at ? (
          <Fact name="Restored">
            came with an older state <When at={stream.restored_at} />
          </Fact>
        ) : null}
      </Facts>
    </div>
  );
}

function Policy({ policy }: { policy: PortPolicy | null | undefined }) {
  if (!policy) {
    return (
      <Section title="Port policy">
        <p className={classes.quiet}>Not reported yet.</p>
      </Section>
    );
  }
  return (
    <Section title="Port policy">
      <Card>
        <Facts>
          <Fact name="Dynamic ranges">
            <Known of={policy.dynamic_ranges}>
              {(ranges) =>
                ranges.map((range) => (
                  <div key={`${range.protocol}-${range.family}-${range.range}`}>
                    <span className="mono">
                      {range.protocol}/{range.range}
                    </span>{" "}
                    {range.family}
                  </div>
                ))
              }
            </Known>
          </Fact>
          <Fact name="Exclusions in force">
            <Known of={policy.exclusions}>{exclusions}</Known>
          </Fact>
          <Fact name="Exclusions kept">
            <Known of={policy.persistent_exclusions}>{exclusions}</Known>
          </Fact>
          <Fact name="ReservedPorts">
            <Known of={policy.reserved_ports}>{ranges}</Known>
          </Fact>
          <Fact name="MaxUserPort">
            <Known of={policy.max_user_port}>{(port) => <span className="mono">{port}</span>}</Known>
          </Fact>
          <Fact name="DNS socket pool">
            <Known of={policy.dns_socket_pool}>
              {(pool) => (
                <>
                  {typeof pool.size !== "number"
                    ? "size not set: the default applies"
                    : `${pool.size.toLocaleString("en")} ports`}
                  {pool.excluded.length > 0 ? <div>leaves alone {ranges(pool.excluded)}</div> : null}
                </>
              )}
            </Known>
          </Fact>
          <Fact name="NTDS TCP/IP Port">
            <Known of={policy.ntds_port}>{tcp}</Known>
          </Fact>
          <Fact name="Netlogon DCTcpipPort">
            <Known of={policy.netlogon_port}>{tcp}</Known>
          </Fact>
          <Fact name="File replication (FRS)">
            <Known of={policy.frs_port}>{tcp}</Known>
          </Fact>
          <Fact name="DFS replication">
            <Known of={policy.dfsr_port}>{tcp}</Known>
          </Fact>
          <Fact name="RPC ports">
            <Known of={policy.rpc_ports}>
              {(rpc) => (
                <>
                  {ranges(rpc.ranges)}
                  {rpc.internet_available === false ? <div>these are left out</div> : null}
                  {rpc.use_internet === false ? <div>not used by default</div> : null}
                </>
              )}
            </Known>
          </Fact>
          <Fact name="SQL Server">
            <Known of={policy.sql_ports}>
              {(instances) =>
                instances.length === 0
                  ? "no instance"
                  : instances.map(({ instance, fixed, dynamic }) => (
                      <div key={instance}>
                        {instance}:{" "}
                        <span className="mono">
                          {fixed.length > 0 ? fixed.map((port) => `tcp/${port}`).join(", ") : null}
                          {dynamic ? `tcp/${dynamic}` : null}
                        </span>{" "}
                        {dynamic ? "drawn last, not fixed" : null}
                      </div>
                    ))
              }
            </Known>
          </Fact>
          <Fact name="HTTP.sys listens on">
            <Known of={policy.http_listen_only}>
              {(addresses) => (addresses.length === 0 ? "all addresses" : ranges(addresses))}
            </Known>
          </Fact>
          <Fact name="Reserved URLs">
            <Known of={policy.url_reservations}>
              {(urls) =>
                urls.length === 0 ? (
                  "none"
                ) : (
                  <details>
                    <summary>{urls.length}</summary>
                    {urls.map((url) => (
                      <div key={url} className="mono">
                        {url}
                      </div>
                    ))}
                  </details>
                )
              }
            </Known>
          </Fact>
          <Fact name="Set, but not active until a restart">
            <Known of={policy.waiting_for_restart}>
              {(members) =>
                members.length === 0 ? "none" : members.map((name) => name.replaceAll("_", " ")).join(", ")
              }
            </Known>
          </Fact>
        </Facts>
      </Card>
    </Section>
  );
}

type KnownProps<T> = {
  of: { value?: T | null; unknown?: string | null };
  children: (value: T) => ReactNode;
};

/** A value, that it is not set, or why it could not be read: three different things. */
function Known<T>({ of, children }: KnownProps<T>) {
  if (of.unknown !== null && of.unknown !== undefined) return <Unknown reason={of.unknown} />;
  if (of.value === null || of.value === undefined) return <span className="dimmed">not set</span>;
  return children(of.value);
}

function Unknown({ reason }: { reason: string | null | undefined }) {
  return (
    <>
      <Chip tone="unknown">unknown</Chip> <span className="dimmed">{reason}</span>
    </>
  );
}

function NotKnown() {
  return <span className="dimmed">not known</span>;
}

function exclusions(all: NonNullable<PortPolicy["exclusions"]["value"]>) {
  if (all.length === 0) return "none";
  return all.map((exclusion) => (
    <div key={`${exclusion.protocol}-${exclusion.family}-${exclusion.range}`}>
      <span className="mono">
        {exclusion.protocol}/{exclusion.range}
      </span>{" "}
      {exclusion.administered ? "administered" : "taken at run time"}
    </div>
  ));
}

function tcp(port: number) {
  return <span className="mono">tcp/{port}</span>;
}

function ranges(all: string[]) {
  return all.length === 0 ? "none" : <span className="mono">{all.join(", ")}</span>;
}

function yesOrNo(value: boolean | null | undefined) {
  return value === null || value === undefined ? <NotKnown /> : value ? "yes" : "no";
}

/** `UTC+02:00` */
function utcOffset(minutes: number): string {
  const size = Math.abs(minutes);
  const hours = String(Math.floor(size / 60)).padStart(2, "0");
  return `UTC${minutes < 0 ? "−" : "+"}${hours}:${String(size % 60).padStart(2, "0")}`;
}
