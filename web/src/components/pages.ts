// The pages, once: the navigation, the palette and the keys all take them from here.

import { useQuery } from "@tanstack/react-query";
import {
  BookOpen,
  ClipboardList,
  Gauge,
  HeartPulse,
  Layers,
  PackageCheck,
  RotateCcw,
  Server,
  TriangleAlert,
} from "lucide-react";
import { useMemo } from "react";
import { sessionQuery } from "../api/queries";

/** `key` follows a `g`; `more` is what else the palette finds it by. */
const PAGES = [
  { to: "/", label: "Overview", icon: Gauge, key: "o" },
  { to: "/problems", label: "Problems", icon: Layers, key: "p" },
  { to: "/findings", label: "Findings", icon: TriangleAlert, key: "f" },
  { to: "/reboot", label: "Next reboot", icon: RotateCcw, key: "n" },
  { to: "/hosts", label: "Hosts", icon: Server, key: "h" },
  { to: "/updates", label: "Updates", icon: PackageCheck, key: "u" },
  {
    to: "/captures",
    label: "Captures",
    icon: ClipboardList,
    key: "c",
    more: "add a server without an agent",
  },
  { to: "/catalog", label: "Catalog", icon: BookOpen, key: "k", more: "entries, overrides, releases" },
  { to: "/health", label: "Health", icon: HeartPulse, key: "i", more: "servers, storage, retention" },
] as const;

export type KnownPage = (typeof PAGES)[number];

/** Those that the operator may open: Health is the installation's, which viewers do not look after. */
export function usePages(): KnownPage[] {
  const { data } = useQuery(sessionQuery);
  const role = data?.role;
  return useMemo(() => PAGES.filter(({ to }) => to !== "/health" || role !== "viewer"), [role]);
}
