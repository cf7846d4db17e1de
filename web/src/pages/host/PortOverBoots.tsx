import { Button, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { portHoldersQuery } from "../../api/queries";
import type { BootHolder } from "../../api/types";
import { Content } from "../../components/Content";
import { Section } from "../../components/Page";
import { holderName, holderTally, isPort } from "../../lib/boots";
import { hostTime } from "../../lib/time";
import classes from "./HostBoots.module.css";

const route = getRouteApi("/signed-in/hosts/$id");

/** Boots in the strip. */
const SHOWN = 30;

type Props = { id: number; shown: number; offset: number | null | undefined };

/** Who held one port, boot after boot. */
export function PortOverBoots({ id, shown, offset }: Props) {
  const { port } = route.useSearch();
  const navigate = route.useNavigate();
  const [draft, setDraft] = useState(port ?? "");
  const wanted = draft.trim().toLowerCase();
  return (
    <Section title="Who held a port over the boots">
      <form
        className={classes.picker}
        onSubmit={(event) => {
          event.preventDefault();
          if (!isPort(wanted)) return;
          navigate({ search: (before) => ({ ...before, port: wanted }), replace: true });
        }}
      >
        <TextInput
          size="xs"
          aria-label="Port"
          placeholder="udp/1812"
          value={draft}
          maxLength={9}
          error={wanted !== "" && !isPort(wanted) ? "Write it as udp/1812" : undefined}
          onChange={(event) => setDraft(event.currentTarget.value)}
          w={160}
        />
        <Button type="submit" size="xs" variant="default" disabled={!isPort(wanted)}>
          Show
        </Button>
      </form>
      {port && isPort(port) ? (
        <Strip id={id} port={port} shown={shown} offset={offset} />
      ) : (
        <p className={classes.hint}>
          Name a port, such as udp/1812, to see who had it first in each of the last {SHOWN} boots.
        </p>
      )}
    </Section>
  );
}

function Strip({ id, port, shown, offset }: Props & { port: string }) {
  const query = useQuery(portHoldersQuery(id, port));
  return (
    <Content query={query}>
      {(data) => {
        const boots = data.boots.slice(0, SHOWN);
        const tally = holderTally(boots);
        const letters = new Map(tally.map(({ name, letter }) => [name, letter]));
        return (
          <>
            <ul className={classes.legend}>
              {tally.map(({ name, letter, boots }) => (
                <li key={name}>
                  <span className={classes.letter} data-letter={letter} aria-hidden>
                    {letter}
                  </span>{" "}
                  {name}: {boots} of {Math.min(data.boots.length, SHOWN)}
                </li>
              ))}
            </ul>
            <ol className={classes.strip} aria-label={`Who held ${data.port} first`}>
              {boots.toReversed().map((boot) => (
                <li key={boot.number}>
                  <Link
                    from="/hosts/$id"
                    search={(before) => ({ ...before, tab: "boots" as const, boot: boot.number })}
                    className={classes.cell}
                    data-letter={letters.get(holderName(boot))}
                    data-shown={boot.number === shown}
                    title={cellWords(boot, offset)}
                    aria-label={cellWords(boot, offset)}
                  >
                    {letters.get(holderName(boot))}
                  </Link>
                </li>
              ))}
            </ol>
          </>
        );
      }}
    </Content>
  );
}

/** `Boot 12 of 2026-11-20 03:01:12: dns.exe (DNS), since 03:01:40`. */
function cellWords(boot: BootHolder, offset: Props["offset"]): string {
  const at = boot.booted_at ? ` of ${hostTime(boot.booted_at, offset)}` : "";
  const since = boot.holder
    ? `, ${boot.holder.basis === "seen" ? "seen at" : "since"} ${hostTime(boot.holder.since, offset)}`
    : "";
  const why = boot.reason ? `: ${boot.reason}` : "";
  return `Boot ${boot.number}${at}: ${holderName(boot)}${since}${why}`;
}
