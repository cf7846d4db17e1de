// The only place that talks HTTP. Every failure leaves here as a `Problem` with a stable code.

import createClient from "openapi-fetch";
import type { paths } from "./schema";

export const api = createClient<paths>({ credentials: "same-origin" });

/** What went wrong, by code. `network.unreachable` is our own: the server did not answer at all. */
export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly title: string,
    readonly detail: string | undefined,
  ) {
    super(detail ?? title);
    this.name = "Problem";
  }
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The answer's body, or the problem thrown. */
export async function take<T>(answer: Promise<Answer<T>>): Promise<T> {
  let settled: Answer<T>;
  try {
    settled = await answer;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem("network.unreachable", 0, "The server does not answer", undefined);
  }
  const { data, error, response } = settled;
  if (!response.ok) throw toProblem(error, response);
  return data as T;
}

function toProblem(body: unknown, response: Response): Problem {
  if (typeof body === "object" && body !== null && "code" in body && typeof body.code === "string") {
    const title = "title" in body && typeof body.title === "string" ? body.title : response.statusText;
    const detail = "detail" in body && typeof body.detail === "string" ? body.detail : undefined;
    return new Problem(body.code, response.status, title, detail);
  }
  return new Problem(
    "server.unexpected",
    response.status,
    `The server answered ${response.status}`,
    undefined,
  );
}

/** `true`: nobody is signed in, or no longer. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof Problem && error.code === "session.required";
}
