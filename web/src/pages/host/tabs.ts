/** The tabs of a host's page, as they stand in its URL. */
export const hostTabs = [
  "services",
  "ports",
  "changes",
  "boots",
  "updates",
  "events",
  "findings",
  "plan",
  "reboot",
  "facts",
] as const;

export type HostTab = (typeof hostTabs)[number];

/** What a host's page shows, as it stands in its URL. */
export type HostSearch = {
  tab?: HostTab;
  q?: string;
  sort?: string;
  boot?: number;
  port?: string;
  /** The moment that is shown. Without it: now. */
  at?: string;
  /** Of the tab of changes: between which moments, or around which update, or the last two boots. */
  from?: string;
  to?: string;
  around?: string;
  boots?: "last";
};
