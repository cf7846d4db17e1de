import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";

const SEQUENCE_MS = 1_200;
const PAGES = {
  o: "/",
  p: "/problems",
  f: "/findings",
  n: "/reboot",
  h: "/hosts",
  u: "/updates",
  c: "/captures",
  k: "/catalog",
  i: "/health",
} as const;

/** `g` then a letter goes to a page; `/` focuses the search of this one. Silent while something is being typed. */
export function useHotkeySequences() {
  const navigate = useNavigate();
  useEffect(() => {
    let pressedG = 0;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "/") {
        const search = document.querySelector<HTMLInputElement>("input[data-page-search]");
        if (!search) return;
        event.preventDefault();
        search.focus();
        search.select();
        return;
      }
      if (event.key === "g") {
        pressedG = event.timeStamp;
        return;
      }
      const to = PAGES[event.key as keyof typeof PAGES];
      if (to && event.timeStamp - pressedG < SEQUENCE_MS && pressedG > 0) navigate({ to });
      pressedG = 0;
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate]);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}
