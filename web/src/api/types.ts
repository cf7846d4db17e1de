// Short names for the generated schema. Nothing is described twice: every type here is a reference.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type FindingSummary = Schemas["FindingSummary"];
export type Finding = Schemas["Finding"];
export type Step = Schemas["Step"];
export type ProblemSummary = Schemas["ProblemSummary"];
export type ProblemDetail = Schemas["ProblemDetail"];
export type ProblemMember = ProblemDetail["members"]["items"][number];
export type Outlook = Schemas["Outlook"];
export type FleetForecast = Schemas["FleetForecast"];
export type ClientForecast = Schemas["ClientForecast"];
export type HostOutlook = FleetForecast["plan"]["items"][number];
export type HostForecast = Schemas["HostForecast"];
export type ServiceForecast = Schemas["ServiceForecast"];
export type PoolDraw = Schemas["PoolDraw"];
export type HostSummary = Schemas["HostSummary"];
export type HostDetail = Schemas["HostDetail"];
export type HostPlan = Schemas["HostPlan"];
export type PlanStep = Schemas["PlanStep"];
export type PlanFinding = Schemas["PlanFinding"];
export type HostService = Schemas["HostService"];
export type Holder = Schemas["Holder"];
export type PortGroup = Schemas["PortGroup"];
export type HostUpdate = Schemas["HostUpdate"];
export type UpdateSummary = Schemas["UpdateSummary"];
export type UpdateHost = Schemas["UpdateDetail"]["hosts"]["items"][number];
export type SuspectUpdate = Schemas["SuspectUpdate"];
export type UntoldUpdate = Schemas["UntoldUpdate"];
export type Advisory = Schemas["Advisory"];
export type BootSummary = Schemas["BootSummary"];
export type Boot = Schemas["Boot"];
export type BootEntry = Schemas["BootEntry"];
export type BootHolder = Schemas["BootHolder"];
export type HostEvent = Schemas["HostEvent"];
export type Connection = Schemas["Connection"];
export type SectionStatus = Schemas["SectionStatus"];
export type PortPolicy = Schemas["PortPolicy"];
export type UpdateDetail = Schemas["UpdateDetail"];
export type CaptureReport = Schemas["CaptureReport"];
export type Overview = Schemas["Overview"];
export type LiveHint = Schemas["LiveHint"];
export type Session = Schemas["Session"];
export type Severity = FindingSummary["severity"];
export type Freshness = HostSummary["freshness"];
export type Transition = Finding["timeline"][number]["transition"];
