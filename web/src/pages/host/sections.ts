import type { HostDetail, SectionStatus } from "../../api/types";

/** How a section of the host stands; one that an agent of an older version has never named is unknown for that. */
export function sectionOf(host: HostDetail, name: SectionStatus["section"]): SectionStatus {
  const section = host.sections.find((each) => each.section === name);
  const never: SectionStatus = {
    section: name,
    state: "unknown",
    reason: "not reported by this agent version",
    collected_at: null,
    learned_at: null,
  };
  if (!section) return never;
  const isOld = section.state === "unknown" && section.learned_at === null && host.facts.host !== null;
  return isOld ? never : section;
}
