import { CircleCheck, CircleDashed, CircleMinus, OctagonAlert } from "lucide-react";
import type { HostService } from "../../api/types";
import { HostMoment } from "../../components/When";
import classes from "./tables.module.css";

const LOOKS = {
  self: { icon: CircleCheck, tone: "good" },
  other: { icon: OctagonAlert, tone: "critical" },
  free: { icon: CircleMinus, tone: "unknown" },
  unknown: { icon: CircleDashed, tone: "unknown" },
} as const;

type Props = {
  need: HostService["needs"][number];
  /** SCM key name of the service that needs it. */
  service: string;
  offset: number | null | undefined;
};

/** A port that a service needs, and who has it. */
export function PortNeed({ need, service, offset }: Props) {
  const { holder } = need;
  const { icon: Icon, tone } = LOOKS[holder.kind];
  return (
    <li className={classes.need} data-tone={tone} title={basis(need)}>
      <Icon size={13} aria-hidden />
      <span className="mono">{need.port}</span>
      <span className={classes.holder}>
        <Holder holder={holder} service={service} offset={offset} />
        {need.learned ? ` · seen in ${need.learned.held} of ${need.learned.of} ${need.learned.from}` : null}
      </span>
    </li>
  );
}

/** In which configurations it is needed, or what that was learned from. */
function basis({ learned, when }: Props["need"]): string | undefined {
  if (!learned) return when ?? undefined;
  const seen = learned.from === "boots" ? "boots of this host" : "hosts that run it";
  return `Not in the catalog: seen in ${learned.held} of ${learned.of} ${seen}`;
}

type HolderProps = { holder: Props["need"]["holder"]; service: string; offset: Props["offset"] };

function Holder({ holder, service, offset }: HolderProps) {
  switch (holder.kind) {
    case "self":
      return partners(holder.services, service) ?? "held by itself";
    case "other":
      return (
        <>
          held by <span className="mono">{holder.process ?? "another process"}</span>
          {holder.pid === null ? null : ` (PID ${holder.pid})`}
          {holder.bound_at ? (
            <>
              {" "}
              since <HostMoment at={holder.bound_at} offset={offset} />
            </>
          ) : null}
        </>
      );
    case "free":
      return "free";
    case "unknown":
      return "holder not known";
  }
}

/** Some services share a port by design (PolicyAgent and IKEEXT): then one of them holds it for both. */
function partners(holders: string[], service: string): string | null {
  const isOwn = holders.some((name) => name.toLowerCase() === service.toLowerCase());
  return isOwn || holders.length === 0 ? null : `held by ${holders.join(", ")}, which shares it`;
}
