import { hostTime, relative, useNow, utc } from "../lib/time";

/** `41 s ago`, with the exact moment on hover. */
export function When({ at }: { at: string | null | undefined }) {
  const now = useNow();
  if (!at) return <span className="dimmed">–</span>;
  return (
    <time dateTime={at} title={utc(at)}>
      {relative(at, now)}
    </time>
  );
}

/** The moment by the host's own clock, with UTC on hover. Without a known offset it is UTC, and says so. */
export function HostMoment({ at, offset }: { at: string; offset: number | null | undefined }) {
  return (
    <time dateTime={at} title={utc(at)} className="number">
      {hostTime(at, offset)}
    </time>
  );
}
