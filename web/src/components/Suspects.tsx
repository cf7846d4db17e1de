import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { suspectsQuery } from "../api/queries";
import type { SuspectUpdate, UntoldUpdate } from "../api/types";
import { suspicion, untold } from "../lib/suspects";
import { Card, Section } from "./Page";
import { Chip } from "./Severity";
import classes from "./Suspects.module.css";

/** What the fleet says against updates; of one KB, or of all. Nothing where it says nothing. */
export function Suspects({ kb }: { kb?: string }) {
  const { data } = useQuery(suspectsQuery(kb));
  if (!data || data.suspects.length + data.untold.length === 0) return null;
  return (
    <Section title="Suspect by the record of the fleet">
      <Card>
        <ul className={classes.list}>
          {data.suspects.map((suspect) => (
            <Suspicion key={`${suspect.kbs.join()} ${suspect.service}`} suspect={suspect} />
          ))}
          {data.untold.map((update) => (
            <Untold key={`${update.kbs.join()} ${update.service}`} update={update} />
          ))}
        </ul>
      </Card>
    </Section>
  );
}

function Suspicion({ suspect }: { suspect: SuspectUpdate }) {
  const failed = suspect.hosts.filter((behind) => behind.failed);
  return (
    <li>
      <Chip tone={suspect.confidence === "likely" ? "warning" : "info"}>{suspect.confidence}</Chip>{" "}
      <Kbs kbs={suspect.kbs} /> {suspicion(suspect)}
      {failed.length > 0 ? (
        <div className={classes.hosts}>
          Failed on{" "}
          {failed.map(({ host }) => (
            <Link key={host.id} to="/hosts/$id" params={{ id: host.id }} className={classes.host}>
              {host.name}
            </Link>
          ))}
        </div>
      ) : null}
    </li>
  );
}

function Untold({ update }: { update: UntoldUpdate }) {
  return (
    <li>
      <Chip tone="unknown">cannot tell</Chip> <Kbs kbs={update.kbs} /> {untold(update)}
    </li>
  );
}

function Kbs({ kbs }: { kbs: string[] }) {
  return kbs.map((kb, place) => (
    <span key={kb}>
      {place > 0 ? " or " : ""}
      <Link to="/updates/$kb" params={{ kb }} className="mono">
        {kb}
      </Link>
    </span>
  ));
}
