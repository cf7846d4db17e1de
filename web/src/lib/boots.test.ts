import { describe, expect, it } from "vitest";
import type { BootHolder } from "../api/types";
import { holderName, holderTally, isPort } from "./boots";

function held(number: number, service: string | null, process: string): BootHolder {
  const since = "2026-11-20T03:01:40Z";
  const holder = {
    port: "udp/1812",
    process,
    pid: 1420,
    services: service ? [service] : [],
    since,
    basis: "bind_time" as const,
    until: null,
  };
  return { number, booted_at: null, first_seen_at: since, state: "held", reason: null, holder };
}

const nobody: BootHolder = { ...held(1, null, ""), state: "nobody", holder: null };
const unknown: BootHolder = { ...nobody, state: "unknown", reason: "its sockets could not be read" };

describe("who held a port", () => {
  it("knows ports from what is none", () => {
    for (const port of ["udp/1812", "tcp/0", "tcp/65535"]) expect(isPort(port)).toBe(true);
    for (const text of ["1812", "udp/", "udp/65536", "sctp/1", "udp/18 12"]) expect(isPort(text)).toBe(false);
  });

  it("names holder, nobody and the unknown apart", () => {
    expect(holderName(held(1, "IAS", "svchost.exe"))).toBe("IAS (svchost.exe)");
    expect(holderName(held(1, null, "dns.exe"))).toBe("dns.exe");
    expect(holderName(nobody)).toBe("nobody");
    expect(holderName(unknown)).toBe("not known");
  });

  it("counts the boots of each, the most frequent first and the unknown last", () => {
    const boots = [
      unknown,
      held(5, "DNS", "dns.exe"),
      nobody,
      held(3, "IAS", "svchost.exe"),
      held(2, "IAS", "svchost.exe"),
    ];
    expect(holderTally(boots)).toEqual([
      { name: "IAS (svchost.exe)", letter: "A", boots: 2 },
      { name: "DNS (dns.exe)", letter: "B", boots: 1 },
      { name: "nobody", letter: "–", boots: 1 },
      { name: "not known", letter: "?", boots: 1 },
    ]);
  });
});
