import { Problem } from "../api/client";

/** What to say of a failure, decided by its code alone. */
export function describe(error: unknown): { title: string; advice: string } {
  if (!(error instanceof Problem)) {
    return { title: "This page failed", advice: "The fault is in the dashboard. Reloading may help." };
  }
  switch (error.code) {
    case "network.unreachable":
      return {
        title: "The server does not answer",
        advice: "Nothing is lost. The page tries again by itself.",
      };
    case "request.throttled":
      return { title: "Too many requests", advice: "Wait a moment, then try again." };
    default:
      return { title: error.title, advice: error.detail ?? `The server named the cause: ${error.code}` };
  }
}
