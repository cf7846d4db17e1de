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

type Props = { need: HostService["needs"][number]; offset: number | null | undefined };

/** A port that a service needs, and who has it. */
export function PortNeed({ need, offset }: Props) {
  const { holder } = need;
  const { icon: Icon, tone } = LOOKS[holder.kind];
  return (
    <li className={classes.need} data-tone={tone} title={need.when ?? undefined}>
      <Icon size={13} aria-hidden />
      <span className="mono">{need.port}</span>
      <span className={classes.holder}>
        <Holder holder={holder} offset={offset} />
      </span>
    </li>
  );
}

function Holder({ holder, offset }: { holder: Props["need"]["holder"]; offset: Props["offset"] }) {
  switch (holder.kind) {
    case "self":
      return "held by itself";
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
