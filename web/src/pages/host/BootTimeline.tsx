import { CircleDot, Info, OctagonAlert, Play, Plug, Square } from "lucide-react";
import type { Boot, BootEntry } from "../../api/types";
import { Nothing } from "../../components/Content";
import { FilterBar } from "../../components/Filters";
import { SearchBox } from "../../components/SearchBox";
import { HostMoment } from "../../components/When";
import { afterBoot } from "../../lib/time";
import { count } from "../../lib/words";
import classes from "./HostBoots.module.css";
import { holds, useTableSearch } from "./useTableSearch";

const LOOKS = {
  bound: Plug,
  pool: CircleDot,
  running: Play,
  stopped: Square,
  failed: OctagonAlert,
  event: Info,
} as const;

type Props = { boot: Boot; offset: number | null | undefined };

/** Everything that is kept of a boot, in the order of time. */
export function BootTimeline({ boot, offset }: Props) {
  const { q, onSearch } = useTableSearch();
  const entries = boot.entries.filter((entry) =>
    holds(q, entry.text, entry.port, ...entry.services, entry.image),
  );
  return (
    <>
      <FilterBar>
        <SearchBox
          label="Search the boot"
          placeholder="Port, service or process"
          value={q}
          onSearch={onSearch}
        />
      </FilterBar>
      {entries.length === 0 ? (
        <Nothing title={q ? "Nothing in this boot fits this search" : "Nothing is kept of this boot"} />
      ) : (
        <ol className={classes.timeline}>
          {grouped(entries).map((group) =>
            group.length > 1 ? (
              <Already key={group[0]?.text} group={group} offset={offset} />
            ) : (
              group.map((entry) => (
                <Line key={keyOf(entry)} entry={entry} bootedAt={boot.booted_at} offset={offset} />
              ))
            ),
          )}
        </ol>
      )}
    </>
  );
}

function keyOf(entry: BootEntry): string {
  return `${entry.at} ${entry.text} ${entry.pid} ${entry.addresses.join()}`;
}

/** Services that ran already when the agent came: many lines that say little each. */
function grouped(entries: BootEntry[]): BootEntry[][] {
  const groups: BootEntry[][] = [];
  for (const entry of entries) {
    const last = groups.at(-1);
    const isAlready = (each: BootEntry | undefined) => each?.kind === "running" && each.basis === "seen";
    if (last && isAlready(last[0]) && isAlready(entry)) last.push(entry);
    else groups.push([entry]);
  }
  return groups;
}

function Already({ group, offset }: { group: BootEntry[]; offset: Props["offset"] }) {
  const first = group[0];
  if (!first) return null;
  return (
    <li className={classes.entry} data-kind="running">
      <span className={classes.moment}>
        seen <HostMoment at={first.at} offset={offset} />
      </span>
      <Play size={13} aria-hidden className={classes.icon} />
      <details>
        <summary>{count(group.length, "service")} ran already when this was first seen</summary>
        <p className={classes.more}>{group.flatMap((entry) => entry.services).join(", ")}</p>
      </details>
    </li>
  );
}

type LineProps = { entry: BootEntry; bootedAt: string | null | undefined; offset: Props["offset"] };

function Line({ entry, bootedAt, offset }: LineProps) {
  const Icon = LOOKS[entry.kind];
  return (
    <li className={classes.entry} data-kind={entry.kind}>
      <span className={classes.moment}>
        {entry.basis === "seen" ? "seen " : null}
        <HostMoment at={entry.at} offset={offset} />
        {bootedAt && entry.basis !== "seen" ? (
          <span className={classes.after}>{afterBoot(entry.at, bootedAt)}</span>
        ) : null}
      </span>
      <Icon size={13} aria-hidden className={classes.icon} />
      <div>
        <span className={classes.text}>{entry.text}</span>
        <span className={classes.more}>
          {entry.pid === null ? null : ` PID ${entry.pid}`}
          {entry.addresses.length > 0 && entry.kind === "bound"
            ? ` on ${entry.addresses.join(" and ")}`
            : null}
          {` · ${BASIS[entry.basis]}`}
        </span>
        {entry.gone_at ? (
          <div className={classes.more}>
            not seen any more from <HostMoment at={entry.gone_at} offset={offset} />
          </div>
        ) : null}
        {entry.holders.map((holder) => (
          <div key={holder.port} className={classes.held}>
            <span className="mono">{holder.port}</span> was held by{" "}
            <span className="mono">{holder.process ?? "a process that is not known"}</span>
            {holder.pid === null ? null : ` (PID ${holder.pid})`},{" "}
            {holder.basis === "seen" ? "seen at" : "since"} <HostMoment at={holder.since} offset={offset} />
          </div>
        ))}
      </div>
    </li>
  );
}

const BASIS: Record<BootEntry["basis"], string> = {
  bind_time: "bind time",
  event: "event log",
  watched: "watched",
  seen: "happened earlier: when is not known",
};
