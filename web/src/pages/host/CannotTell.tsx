import { CircleDashed } from "lucide-react";
import type { HostDetail } from "../../api/types";
import classes from "./CannotTell.module.css";

/** What no rule could decide on this host: said in grey, and never left out as if it were fine. */
export function CannotTell({ items }: { items: HostDetail["cannot_tell"] }) {
  if (items.length === 0) return null;
  return (
    <section className={classes.box} aria-label="Cannot tell">
      <h2 className={classes.title}>
        <CircleDashed size={14} aria-hidden /> Cannot tell
      </h2>
      <ul className={classes.list}>
        {items.map((item) => (
          <li key={`${item.rule}-${JSON.stringify(item.subject)}`}>
            {item.reason} <span className="mono">{item.rule}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
