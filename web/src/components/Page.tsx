import type { ReactNode } from "react";
import { useEffect } from "react";
import classes from "./Page.module.css";

type Props = {
  /** For the browser's tab. */
  title: string;
  /** The page's answer in words; the title where there is none. */
  heading?: ReactNode;
  above?: ReactNode;
  below?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
};

/** One page: what it answers in its first line, then the rest. */
export function Page({ title, heading, above, below, actions, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Portreeve`;
  }, [title]);
  return (
    <div className={classes.page}>
      <header className={classes.header}>
        <div className={classes.words}>
          {above ? <div className={classes.above}>{above}</div> : null}
          <h1 className={classes.heading}>{heading ?? title}</h1>
          {below ? <div className={classes.below}>{below}</div> : null}
        </div>
        {actions}
      </header>
      {children}
    </div>
  );
}

export function Section({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className={classes.section} aria-label={title}>
      <div className={classes.sectionHead}>
        <h2 className={classes.sectionTitle}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

/** A surface with a line around it. */
export function Card({ children }: { children: ReactNode }) {
  return <div className={classes.card}>{children}</div>;
}
