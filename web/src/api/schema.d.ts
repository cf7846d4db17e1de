export interface paths {
  "/api/v1/session": {
    get: { parameters: {}; responses: { 200: { content: { "application/json": components["schemas"]["Session"] } } } };
    post: {
      parameters: {};
      requestBody: { content: { "application/json": components["schemas"]["SignIn"] } };
      responses: { 200: { content: { "application/json": components["schemas"]["Session"] } } };
    };
    delete: { parameters: {}; responses: { 204: { content?: never } } };
  };
  "/api/v1/overview": { get: { parameters: {}; responses: { 200: { content: { "application/json": components["schemas"]["Overview"] } } } } };
  "/api/v1/clients": { get: { parameters: {}; responses: { 200: { content: { "application/json": { items: components["schemas"]["ClientSummary"][]; next_cursor: string | null } } } } } };
  "/api/v1/findings": {
    get: {
      parameters: { query?: { state?: "open" | "resolved"; severity?: Severity; confidence?: "certain" | "likely" | "possible"; client?: number; host?: number; rule?: string; q?: string; cursor?: string; limit?: number } };
      responses: { 200: { content: { "application/json": { items: components["schemas"]["FindingSummary"][]; next_cursor: string | null } } } };
    };
  };
  "/api/v1/findings/{id}": { get: { parameters: { path: { id: string } }; responses: { 200: { content: { "application/json": components["schemas"]["Finding"] } } } } };
  "/api/v1/hosts": {
    get: {
      parameters: { query?: { client?: number; q?: string; state?: "reporting" | "stale" | "silent" | "capture"; cursor?: string; limit?: number } };
      responses: { 200: { content: { "application/json": { items: components["schemas"]["HostSummary"][]; next_cursor: string | null } } } };
    };
  };
  "/api/v1/hosts/{id}": { get: { parameters: { path: { id: number } }; responses: { 200: { content: { "application/json": components["schemas"]["HostDetail"] } } } } };
  "/api/v1/hosts/{id}/services": { get: { parameters: { path: { id: number } }; responses: { 200: { content: { "application/json": components["schemas"]["HostServices"] } } } } };
  "/api/v1/hosts/{id}/ports": { get: { parameters: { path: { id: number } }; responses: { 200: { content: { "application/json": components["schemas"]["HostPorts"] } } } } };
  "/api/v1/hosts/{id}/updates": { get: { parameters: { path: { id: number } }; responses: { 200: { content: { "application/json": components["schemas"]["HostUpdates"] } } } } };
  "/api/v1/updates": {
    get: {
      parameters: { query?: { q?: string; cursor?: string; limit?: number } };
      responses: { 200: { content: { "application/json": { items: components["schemas"]["UpdateSummary"][]; next_cursor: string | null } } } };
    };
  };
  "/api/v1/updates/{kb}": { get: { parameters: { path: { kb: string }; query?: { cursor?: string; limit?: number } }; responses: { 200: { content: { "application/json": components["schemas"]["UpdateDetail"] } } } } };
}
type Severity = "critical" | "warning" | "info";
type Time = string;
export interface components {
  schemas: {
    Session: { operator: { name: string; role: string } };
    SignIn: { name: string; password: string };
    ClientRef: { id: number; name: string };
    SiteRef: { id: number; name: string };
    HostRef: { id: number; name: string };
    ClientSummary: { id: number; name: string; hosts: number };
    FindingSummary: {
      id: string; rule: string; subject: Record<string, string>; severity: Severity; confidence: "certain" | "likely" | "possible";
      title: string; cause: string; client: components["schemas"]["ClientRef"]; site: components["schemas"]["SiteRef"]; host: components["schemas"]["HostRef"];
      state: "open" | "resolved"; since: Time | null; opened_at: Time; resolved_at: Time | null; updated_at: Time; episode: number; cannot_tell: string | null;
    };
    Finding: components["schemas"]["FindingSummary"] & {
      evidence: { at: Time | null; text: string; source: string }[];
      remedy: {
        summary: string; applies_to: string; steps: components["schemas"]["Step"][]; risk: string; restart: "none" | "service" | "server";
        undo: components["schemas"]["Step"][]; proven_when: string;
      };
      probability: number | null;
      timeline: { at: Time; transition: "opened" | "resolved" | "reopened" | "changed"; title: string; episode: number }[];
      deliveries: { id: string; endpoint: { id: string; name: string }; transition: string; state: string; attempts: number; last_status: number | null; last_error: string | null; next_attempt_at: Time | null; finished_at: Time | null }[];
      also_on: { host: components["schemas"]["HostRef"]; client: components["schemas"]["ClientRef"]; finding_id: string }[];
    };
    Step: { text: string; command?: string | null };
    HostSummary: {
      id: number; name: string; client: components["schemas"]["ClientRef"]; site: components["schemas"]["SiteRef"]; os_name: string | null; os_generation: string | null; os_build: string | null;
      collected_by: "agent" | "capture" | null; freshness: "reporting" | "stale" | "silent" | "capture"; last_seen_at: Time | null; booted_at: Time | null;
      open: { critical: number; warning: number; info: number };
    };
    HostDetail: components["schemas"]["HostSummary"] & {
      enrolled_at: Time; agent_version: string | null;
      sections: components["schemas"]["SectionStatus"][];
      facts: { host: components["schemas"]["HostFacts"] | null; port_policy: components["schemas"]["PortPolicy"] | null };
      stream: { connected_at: Time | null; seq: number; clock_skew_ms: number; quarantined: number; gaps: number; dropped_rows: number; fork_seen_at: Time | null } | null;
      findings: components["schemas"]["FindingSummary"][];
      cannot_tell: { rule: string; subject: Record<string, string>; reason: string }[];
    };
    SectionStatus: { section: "host" | "sockets" | "services" | "updates" | "port_policy"; state: "known" | "unknown"; reason: string | null; collected_at: Time | null; learned_at: Time | null };
    HostFacts: {
      name: string; domain: string | null; os_name: string; service_pack: string | null; booted_at: Time | null; utc_offset_minutes: number | null; domain_controller: boolean | null;
      products: { value: { id: string; name: string; version: string | null }[] | null; unknown: string | null }; roles: { value: string[] | null; unknown: string | null };
    };
    PortPolicy: {
      dynamic_ranges: { value: { protocol: "tcp" | "udp"; family: "ipv4" | "ipv6"; range: string }[] | null; unknown: string | null };
      exclusions: { value: components["schemas"]["Exclusion"][] | null; unknown: string | null };
      persistent_exclusions: { value: components["schemas"]["Exclusion"][] | null; unknown: string | null };
      reserved_ports: { value: string[] | null; unknown: string | null };
      max_user_port: { value: number | null; unknown: string | null };
      dns_socket_pool: { value: { size: number | null; excluded: string[] } | null; unknown: string | null };
      ntds_port: { value: number | null; unknown: string | null };
    };
    Exclusion: { protocol: "tcp" | "udp"; family: "ipv4" | "ipv6" | null; range: string; administered: boolean };
    HostServices: { services: components["schemas"]["SectionStatus"]; sockets: components["schemas"]["SectionStatus"]; items: components["schemas"]["HostService"][] };
    HostPorts: { sockets: components["schemas"]["SectionStatus"]; items: components["schemas"]["PortGroup"][] };
    HostUpdates: { updates: components["schemas"]["SectionStatus"]; items: components["schemas"]["HostUpdate"][] };
    Holder: { kind: "self" | "other" | "free" | "unknown"; process: string | null; pid: number | null; services: string[]; bound_at: Time | null };
    HostService: {
      name: string; display_name: string; state: string; start: string | null; delayed: boolean | null; trigger_start: boolean | null; pid: number | null; exit_code: number | null;
      service_exit_code: number | null; image_path: string | null; state_since: Time | null; needs: { port: string; when: string | null; holder: components["schemas"]["Holder"] }[];
      holds: components["schemas"]["PortGroup"][]; finding_id: string | null;
    };
    PortGroup: {
      protocol: string; address: string; state: string; process: string | null; image: string | null; pid: number | null; services: string[]; ports: string; count: number;
      first: number; last: number; bound_at: Time | null;
    };
    HostUpdate: {
      kb: string | null; title: string; id: string; source: string; state: string; installed_at: Time | null; removable: boolean | null; version: string | null;
      verdict: "harmful" | "possible" | null; finding_id: string | null;
    };
    UpdateSummary: { kb: string; title: string; hosts: number; first_installed_at: Time | null; last_installed_at: Time | null; entries: string[]; verdict: "harmful" | "possible" | null };
    UpdateDetail: { kb: string; title: string | null; advisories: components["schemas"]["Advisory"][]; hosts: { items: components["schemas"]["UpdateHost"][]; next_cursor: string | null } };
    Advisory: {
      id: string; kb: string; aliases: { kb: string; name: string | null }[]; title: string; summary: string; severity: Severity; released: string; conditions: string; symptoms: string[];
      affected_services: string[]; fixed_by: string[]; remedy: string; caution: string | null; verified: boolean; sources: string[]; note: string | null;
    };
    UpdateHost: {
      host: components["schemas"]["HostRef"]; site: components["schemas"]["SiteRef"]; client: components["schemas"]["ClientRef"]; state: string; title: string; installed_at: Time | null;
      removable: boolean | null; verdict: "harmful" | "possible" | null; finding_id: string | null;
    };
    Overview: {
      services_down: { findings: number; hosts: number }; harmful_updates: { entries: number; hosts: number }; possible_updates: { entries: number; hosts: number }; cannot_tell_hosts: number;
      fleet: { reporting: number; stale: number; silent: number; capture: number; total: number };
      clients: { client: components["schemas"]["ClientRef"]; hosts: number; critical: number; warning: number; info: number; unknown: number }[];
      worst: components["schemas"]["FindingSummary"][];
      recent_updates: { kb: string; title: string; hosts: number; first_installed_at: Time | null; verdict: "harmful" | "possible" | null }[];
      recent: { at: Time; transition: "opened" | "resolved" | "reopened" | "changed"; finding: { id: string; rule: string; title: string; severity: Severity; client: components["schemas"]["ClientRef"]; host: components["schemas"]["HostRef"] } }[];
    };
  };
}
