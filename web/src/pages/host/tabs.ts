/** The tabs of a host's page, as they stand in its URL. */
export const hostTabs = [
  "services",
  "ports",
  "boots",
  "updates",
  "events",
  "findings",
  "plan",
  "reboot",
  "facts",
] as const;

export type HostTab = (typeof hostTabs)[number];
