import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { liveState, startLive } from "./live";

/** The browser's end of the stream, driven by the test. */
class FakeSource extends EventTarget {
  static last: FakeSource;
  static readonly CLOSED = 2;
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    super();
    FakeSource.last = this;
  }
  close() {
    this.readyState = 2;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", FakeSource);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function start() {
  const queries = new QueryClient();
  const invalidate = vi.spyOn(queries, "invalidateQueries").mockResolvedValue();
  const stop = startLive(queries);
  return { invalidate, stop, source: () => FakeSource.last };
}

it("stales what hints name, once for a burst of them", () => {
  const { invalidate, stop, source } = start();
  source().onopen?.();
  expect(liveState()).toBe("live");
  for (const data of ['{"kind":"delivery","id":"d1"}', '{"kind":"delivery","id":"d2"}']) {
    source().dispatchEvent(new MessageEvent("hint", { data }));
  }
  expect(invalidate).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1_000);
  expect(invalidate.mock.calls).toEqual([[{ queryKey: ["finding"] }]]);
  stop();
});

it("follows a host at once, and the fleet at leisure", () => {
  const { invalidate, stop, source } = start();
  source().onopen?.();
  source().dispatchEvent(new MessageEvent("hint", { data: '{"kind":"host","id":"7","client_id":1}' }));
  vi.advanceTimersByTime(1_000);
  expect(invalidate.mock.calls).toEqual([[{ queryKey: ["host", 7] }]]);
  vi.advanceTimersByTime(4_000);
  expect(invalidate.mock.calls.slice(1)).toEqual([
    [{ queryKey: ["hosts"] }],
    [{ queryKey: ["overview"] }],
    [{ queryKey: ["clients"] }],
    [{ queryKey: ["forecast"] }],
  ]);
  stop();
});

it("says when it is away, and fetches all anew when it is back", () => {
  const { invalidate, stop, source } = start();
  source().onopen?.();
  source().readyState = FakeSource.CLOSED;
  source().onerror?.();
  expect(liveState()).toBe("reconnecting");
  const before = source();
  vi.advanceTimersByTime(20_000);
  expect(liveState()).toBe("stale");
  expect(source()).not.toBe(before);
  source().onopen?.();
  expect(liveState()).toBe("live");
  source().dispatchEvent(new MessageEvent("resync", { data: "{}" }));
  expect(invalidate.mock.calls).toEqual([[{ queryKey: ["session"] }], []]);
  stop();
});
