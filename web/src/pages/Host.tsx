import { Group, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { hostQuery } from "../api/queries";
import type { HostDetail } from "../api/types";
import { Content, Nothing } from "../components/Content";
import { FindingRows } from "../components/FindingRows";
import { FreshnessMark } from "../components/FreshnessMark";
import { Page } from "../components/Page";
import { Chip } from "../components/Severity";
import { HostMoment, When } from "../components/When";
import classes from "./Host.module.css";
import { CannotTell } from "./host/CannotTell";
import { Departure, RetireButton } from "./host/Departure";
import { HostBoots } from "./host/HostBoots";
import { HostChanges } from "./host/HostChanges";
import { HostEvents } from "./host/HostEvents";
import { HostFacts } from "./host/HostFacts";
import { HostForecast } from "./host/HostForecast";
import { HostPlan } from "./host/HostPlan";
import { HostPorts } from "./host/HostPorts";
import { HostServices } from "./host/HostServices";
import { HostUpdates } from "./host/HostUpdates";
import { MomentPicker } from "./host/MomentPicker";
import { PastBanner } from "./host/PastBanner";
import { sectionOf } from "./host/sections";
import { type HostTab, hostTabs } from "./host/tabs";

const route = getRouteApi("/signed-in/hosts/$id");

const TAB_NAMES: Record<HostTab, string> = {
  services: "Services",
  ports: "Ports",
  changes: "Changes",
  boots: "Boots",
  updates: "Updates",
  events: "Events",
  findings: "Findings",
  plan: "Plan",
  reboot: "Next reboot",
  facts: "Facts",
};

export function HostPage() {
  const { id } = route.useParams();
  const query = useQuery(hostQuery(id));
  const host = query.data;
  return (
    <Page
      title={host?.name ?? "Host"}
      above={
        <>
          <Link to="/hosts">Hosts</Link>
          {host ? (
            <>
              <span aria-hidden>/</span>
              <Link to="/hosts" search={{ client: host.client.id }}>
                {host.client.name}
              </Link>
              <span>› {host.site.name}</span>
            </>
          ) : null}
        </>
      }
      below={host ? <Standing host={host} /> : null}
      actions={
        <Group gap="sm" justify="flex-end">
          {host ? <RetireButton host={host} /> : null}
          <MomentPicker id={id} />
        </Group>
      }
    >
      <PastBanner id={id} offset={host?.facts.host?.utc_offset_minutes} />
      <Content query={query}>{(data) => <Body host={data} />}</Content>
    </Page>
  );
}

function Standing({ host }: { host: HostDetail }) {
  const offset = host.facts.host?.utc_offset_minutes;
  return (
    <>
      <FreshnessMark freshness={host.freshness} />
      <span>
        {host.os_name ?? "system not reported yet"}{" "}
        {host.os_build ? <span className="mono">{host.os_build}</span> : null}
      </span>
      <span>
        {host.freshness === "capture" ? "captured" : "last heard of"} <When at={host.last_seen_at} />
      </span>
      {host.booted_at ? (
        <span>
          booted <HostMoment at={host.booted_at} offset={offset} />
        </span>
      ) : null}
      <span className={classes.chips}>
        {host.sections.map(({ section }) => (
          <SectionChip key={section} section={sectionOf(host, section)} />
        ))}
      </span>
    </>
  );
}

const SECTION_NAMES: Record<HostDetail["sections"][number]["section"], string> = {
  host: "host",
  sockets: "sockets",
  services: "services",
  updates: "updates",
  port_policy: "port policy",
  events: "events",
  connections: "connections",
};

function SectionChip({ section }: { section: HostDetail["sections"][number] }) {
  const name = SECTION_NAMES[section.section];
  if (section.state === "known") return <Chip tone="good">{name}</Chip>;
  return (
    <Chip tone="unknown" title={section.reason ?? undefined}>
      {name} unknown
    </Chip>
  );
}

function Body({ host }: { host: HostDetail }) {
  const { tab = "services", at } = route.useSearch();
  const navigate = route.useNavigate();
  const offset = host.facts.host?.utc_offset_minutes;
  return (
    <>
      <Departure host={host} />
      {at ? null : <CannotTell items={host.cannot_tell} />}
      <Tabs
        value={tab}
        keepMounted={false}
        onChange={(next) =>
          navigate({
            search: { tab: next === "services" ? undefined : (next as HostTab), at },
            replace: true,
          })
        }
      >
        <Tabs.List mb="md">
          {hostTabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {TAB_NAMES[each]}
              {each === "findings" && host.findings.length > 0 ? ` (${host.findings.length})` : null}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="services">
          <HostServices id={host.id} offset={offset} />
        </Tabs.Panel>
        <Tabs.Panel value="ports">
          <HostPorts id={host.id} offset={offset} />
        </Tabs.Panel>
        <Tabs.Panel value="changes">
          <HostChanges id={host.id} offset={offset} />
        </Tabs.Panel>
        <Tabs.Panel value="boots">
          <HostBoots id={host.id} offset={offset} />
        </Tabs.Panel>
        <Tabs.Panel value="events">
          <HostEvents host={host} offset={offset} />
        </Tabs.Panel>
        <Tabs.Panel value="updates">
          <HostUpdates id={host.id} />
        </Tabs.Panel>
        <Tabs.Panel value="findings">
          {host.findings.length > 0 ? (
            <FindingRows label="Open findings of this host" findings={host.findings} place="host-page" />
          ) : (
            <Nothing title="No finding is open on this host">
              <Link to="/findings" search={{ host: host.id, state: "all" }}>
                Show resolved ones
              </Link>
            </Nothing>
          )}
        </Tabs.Panel>
        <Tabs.Panel value="plan">
          <HostPlan id={host.id} offset={offset} />
        </Tabs.Panel>
        <Tabs.Panel value="reboot">
          <HostForecast id={host.id} />
        </Tabs.Panel>
        <Tabs.Panel value="facts">
          <HostFacts host={host} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
