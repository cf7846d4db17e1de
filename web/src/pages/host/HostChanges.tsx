import { Alert } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { CircleDashed } from "lucide-react";
import type { ReactNode } from "react";
import { type Between, hostBootsQuery, hostChangesQuery } from "../../api/queries";
import type { HostChanges as Changes, MemberChange, PortGroup, UpdateChange } from "../../api/types";
import { Content, Nothing } from "../../components/Content";
import { Choice, FilterBar } from "../../components/Filters";
import { MomentInput } from "../../components/MomentInput";
import { Section } from "../../components/Page";
import { SearchBox } from "../../components/SearchBox";
import { HostMoment } from "../../components/When";
import { isEmpty, type Preset, presetOf } from "../../lib/changes";
import { useNow } from "../../lib/time";
import { count, plain } from "../../lib/words";
import classes from "./HostChanges.module.css";

const route = getRouteApi("/signed-in/hosts/$id");

const PRESETS: { value: Preset; label: string }[] = [
  { value: "day", label: "Since yesterday" },
  { value: "boots", label: "Last two boots" },
  { value: "update", label: "Around an update" },
  { value: "times", label: "Two moments" },
];

const DAY_MS = 24 * 60 * 60 * 1000;

type Props = { id: number; offset: number | null | undefined };

/** What changed on the host between two moments, two boots, or before and after an update. */
export function HostChanges({ id, offset }: Props) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const now = useNow();
  const preset = presetOf(search);
  const set = (next: { from?: string; to?: string; around?: string; boots?: "last" }) =>
    navigate({
      search: (before) => ({
        ...before,
        from: undefined,
        to: undefined,
        around: undefined,
        boots: undefined,
        ...next,
      }),
      replace: true,
    });
  const choose = (next: Preset) => {
    if (next === "day") return set({});
    if (next === "boots") return set({ boots: "last" });
    if (next === "update") return set({ around: "KB" });
    return set({ from: search.at ?? new Date(now - DAY_MS).toISOString() });
  };
  return (
    <>
      <FilterBar>
        <Choice label="What to compare" value={preset} choices={PRESETS} onChoose={choose} />
        {preset === "times" ? (
          <>
            <MomentInput
              label="From, in UTC"
              value={search.from}
              onChoose={(from) => set({ from, to: search.to })}
            />
            <MomentInput
              label="To, in UTC; empty: now"
              value={search.to}
              onChoose={(to) => set({ from: search.from, to })}
            />
          </>
        ) : null}
        {preset === "update" ? (
          <SearchBox
            label="Update"
            placeholder="KB948609"
            value={search.around === "KB" ? undefined : search.around}
            onSearch={(around) => set({ around: around ?? "KB" })}
          />
        ) : null}
      </FilterBar>
      {search.around === "KB" ? (
        <Nothing title="Name an update">What changed in the day after it came is shown.</Nothing>
      ) : preset === "boots" ? (
        <LastTwoBoots id={id} offset={offset} />
      ) : (
        <Compared id={id} offset={offset} between={within(search)} />
      )}
    </>
  );
}

function within({ around, from, to }: Between): Between {
  return around ? { around } : { from, to };
}

/** The end of the boot before the newest, and now. */
function LastTwoBoots({ id, offset }: Props) {
  const query = useQuery(hostBootsQuery(id));
  return (
    <Content query={query}>
      {({ items: [newest, before] }) =>
        newest && before ? (
          <Compared id={id} offset={offset} between={{ from_boot: before.number, to_boot: newest.number }} />
        ) : (
          <Nothing title="Fewer than two boots of this host are known" />
        )
      }
    </Content>
  );
}

function Compared({ id, offset, between }: Props & { between: Between }) {
  const query = useQuery(hostChangesQuery(id, between));
  return <Content query={query}>{(changes) => <Told changes={changes} offset={offset} />}</Content>;
}

function Told({ changes, offset }: { changes: Changes; offset: Props["offset"] }) {
  return (
    <>
      <p className={classes.window}>
        From <HostMoment at={changes.from.at} offset={offset} /> to{" "}
        <HostMoment at={changes.to.at} offset={offset} />.
        {changes.from.silence || changes.to.silence
          ? " The host was not heard of at one of them: what is compared is what was true before."
          : null}
      </p>
      {isEmpty(changes) ? <Nothing title="Nothing changed in what is known" /> : null}
      <Part title="Ports" of={changes.sockets}>
        {(sockets) =>
          lines([
            ...sockets.taken_over.map((port) => (
              <Line key={`${port.port} ${port.address}`} sign="~">
                <PortLink port={port.port} /> changed hands: <Owners of={port.before} /> →{" "}
                <Owners of={port.after} />
              </Line>
            )),
            ...sockets.came.map((group) => <PortLine key={key(group)} sign="+" group={group} />),
            ...sockets.went.map((group) => <PortLine key={key(group)} sign="−" group={group} />),
            sockets.bound_again > 0 ? (
              <Line key="again" sign="">
                {count(sockets.bound_again, "port")} bound again by the same program
              </Line>
            ) : null,
          ])
        }
      </Part>
      <Part title="Services" of={changes.services}>
        {(services) =>
          lines([
            ...services.changed.map(({ service, members }) => (
              <Line key={service.name} sign="~">
                <strong>{service.name}</strong> {members.map(memberWords).join(", ")}
              </Line>
            )),
            ...services.came.map(({ name, state }) => (
              <Line key={name} sign="+">
                <strong>{name}</strong> {plain(state)}
              </Line>
            )),
            ...services.went.map(({ name }) => (
              <Line key={name} sign="−">
                <strong>{name}</strong>
              </Line>
            )),
            services.restarted > 0 ? (
              <Line key="restarted" sign="">
                {count(services.restarted, "service")} in another process, else the same
              </Line>
            ) : null,
          ])
        }
      </Part>
      <Part title="Updates" of={changes.updates}>
        {(updates) =>
          lines(updates.map((update) => <UpdateLine key={update.kb ?? update.title} of={update} />))
        }
      </Part>
      <Part title="Host" of={changes.host}>
        {members}
      </Part>
      <Part title="Port policy" of={changes.port_policy}>
        {members}
      </Part>
    </>
  );
}

type PartProps<T> = {
  title: string;
  of: { value?: T | null; unknown?: string | null };
  children: (value: T) => ReactNode;
};

/** A section's changes; what was unknown at one of the moments has none, and says so. */
function Part<T>({ title, of, children }: PartProps<T>) {
  if (of.value === null || of.value === undefined) {
    return (
      <Section title={title}>
        <Alert color="gray" variant="default" py="xs" icon={<CircleDashed size={16} aria-hidden />}>
          {of.unknown ?? "not known"}
        </Alert>
      </Section>
    );
  }
  const found = children(of.value);
  return found ? <Section title={title}>{found}</Section> : null;
}

function lines(all: ReactNode[]) {
  const told = all.filter(Boolean);
  return told.length > 0 ? <ul className={classes.lines}>{told}</ul> : null;
}

function Line({ sign, children }: { sign: "+" | "−" | "~" | ""; children: ReactNode }) {
  return (
    <li className={classes.line} data-sign={sign}>
      <span className={classes.sign} aria-hidden>
        {sign}
      </span>
      <span>
        {sign === "+" || sign === "−" ? (
          <span className={classes.spoken}>{sign === "+" ? "came: " : "went: "}</span>
        ) : null}
        {children}
      </span>
    </li>
  );
}

function PortLine({ sign, group }: { sign: "+" | "−"; group: PortGroup }) {
  return (
    <Line sign={sign}>
      {group.count === 1 ? (
        <PortLink port={`${group.protocol}/${group.first}`} />
      ) : (
        <>
          <span className="mono">
            {group.protocol}/{group.first}-{group.last}
          </span>{" "}
          ({count(group.count, "port")})
        </>
      )}{" "}
      <Owners of={[group]} />
    </Line>
  );
}

function PortLink({ port }: { port: string }) {
  return (
    <Link
      from="/hosts/$id"
      search={(before) => ({ ...before, tab: "ports" as const, port })}
      className="mono"
    >
      {port}
    </Link>
  );
}

function Owners({ of }: { of: PortGroup[] }) {
  const words = of.map(({ process, pid, services }) =>
    [process ?? "owner not known", pid === null ? null : `PID ${pid}`, services.join(", ")]
      .filter(Boolean)
      .join(" "),
  );
  return <>{words.join("; ")}</>;
}

function UpdateLine({ of }: { of: UpdateChange }) {
  const sign = of.before === null ? "+" : of.after === null ? "−" : "~";
  const state = sign === "~" ? `${plain(of.before ?? "")} → ${plain(of.after ?? "")}` : plain(of.after ?? "");
  return (
    <Line sign={sign}>
      {of.kb ? (
        <Link to="/updates/$kb" params={{ kb: of.kb }} className="mono">
          {of.kb}
        </Link>
      ) : null}{" "}
      {of.title} <span className="dimmed">{state}</span>
    </Line>
  );
}

function members(all: MemberChange[]) {
  return lines(
    all.map((change) => (
      <Line key={change.member} sign="~">
        {memberWords(change)}
      </Line>
    )),
  );
}

function memberWords({ member, before, after }: MemberChange): string {
  return `${plain(member)} ${before ?? "not set"} → ${after ?? "not set"}`;
}

function key(group: PortGroup): string {
  return [group.protocol, group.address, group.state, group.pid, group.ports].join(" ");
}
