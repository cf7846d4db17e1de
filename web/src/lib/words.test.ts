import { describe, expect, it } from "vitest";
import type { Overview } from "../api/types";
import { count, overviewClauses } from "./words";

const quiet: Overview = {
  services_down: { findings: 0, hosts: 0 },
  harmful_updates: { entries: 0, hosts: 0 },
  possible_updates: { entries: 0, hosts: 0 },
  cannot_tell_hosts: 0,
  next_reboot: { expected: 0, services: 0, without_number: 0, hosts: 0, cannot_tell: 0 },
  stale_findings: { findings: 0, hosts: 0 },
  deliveries_held: null,
  fleet: { reporting: 12, stale: 0, silent: 0, capture: 0, total: 12 },
  clients: [],
  worst: [],
  recent_updates: [],
  recent: [],
};

const sentence = (part: Partial<Overview>) =>
  overviewClauses({ ...quiet, ...part })
    .map((clause) => clause.text)
    .join("; ");

describe("the first line of the overview", () => {
  it("says that nothing is broken only of what is known", () => {
    expect(sentence({})).toBe("Nothing is known to be broken on 12 hosts");
    expect(sentence({ cannot_tell_hosts: 1 })).toBe(
      "Nothing is known to be broken on 12 hosts; something cannot be told on 1 host",
    );
  });

  it("puts what is broken first, in words that agree with the numbers", () => {
    expect(
      sentence({
        services_down: { findings: 2, hosts: 1 },
        harmful_updates: { entries: 1, hosts: 3 },
        possible_updates: { entries: 1, hosts: 1 },
        next_reboot: { ...quiet.next_reboot, expected: 0.4, services: 2, hosts: 1 },
        fleet: { ...quiet.fleet, silent: 1 },
      }),
    ).toBe(
      "2 services are down because of ports on 1 host; 1 known-bad update is doing harm on 3 hosts; " +
        "1 update may do harm on 1 host; 2 services on 1 host may lose a port at the next reboot; 1 host is silent",
    );
  });
});

it("writes numbers that can be read", () => {
  expect(count(1, "port")).toBe("1 port");
  expect(count(2500, "port")).toBe("2,500 ports");
});
