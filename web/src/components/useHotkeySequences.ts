import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import type { KnownPage } from "./pages";

const SEQUENCE_MS = 1_200;

/** `g` then a letter goes to a page; `/` focuses the search of this one. Silent while something is being typed. */
export function useHotkeySequences(pages: KnownPage[]) {
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
      const to = pages.find(({ key }) => key === event.key)?.to;
      if (to && event.timeStamp - pressedG < SEQUENCE_MS && pressedG > 0) navigate({ to });
      pressedG = 0;
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, pages]);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}
