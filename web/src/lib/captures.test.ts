import { describe, expect, it } from "vitest";
import type { CaptureReport } from "../api/types";
import { cannotSend, captureForm, previewSentence } from "./captures";

const file = (name: string, text = "x") => new File([text], name);

const report = (part: Partial<CaptureReport>): CaptureReport => ({
  host: null,
  name: null,
  captured_at: null,
  understood: [],
  not_understood: [],
  not_understood_total: 0,
  contradictions: [],
  sections: [
    { section: "sockets", state: "known", reason: null, rows: 40 },
    { section: "updates", state: "unknown", reason: "the capture holds no list of updates", rows: null },
  ],
  findings: [],
  ...part,
});

describe("the form of a capture", () => {
  it("asks for a dry run until it is said where the host belongs", () => {
    const form = captureForm([file("netstat.txt"), file("sc.txt")]);
    expect(form.get("dry_run")).toBe("true");
    expect(form.get("client")).toBeNull();
    expect(form.getAll("files").map((each) => (each as File).name)).toEqual(["netstat.txt", "sc.txt"]);
  });

  it("leaves out what is to be taken from the capture", () => {
    const belonging = { client: 1, site: 2, host: " ", capturedAt: "" };
    const form = captureForm([file("a")], belonging);
    expect([...form.keys()].sort()).toEqual(["client", "files", "site"]);
    const named = captureForm([file("a")], {
      ...belonging,
      host: " RADIUS1 ",
      capturedAt: "2026-11-22T03:02Z",
    });
    expect(named.get("host")).toBe("RADIUS1");
    expect(named.get("captured_at")).toBe("2026-11-22T03:02:00.000Z");
  });

  it("is not sent when the server would refuse it", () => {
    expect(cannotSend([file("a")])).toBeNull();
    expect(cannotSend([])).toMatch("no file");
    expect(cannotSend(Array.from({ length: 501 }, () => file("a")))).toMatch("at most 500 files");
  });
});

describe("the sentence of a dry run", () => {
  it("counts files, lost lines and known sections", () => {
    const understood = [
      { file: "a.txt", what: "sockets (netstat)", lines: 40 },
      { file: "a.txt", what: "processes (tasklist)", lines: 20 },
    ];
    expect(previewSentence(report({ understood }))).toBe(
      "1 file understood, every line was; 1 of 2 sections known.",
    );
    expect(previewSentence(report({ understood, not_understood_total: 3 }))).toBe(
      "1 file understood, 3 lines were not; 1 of 2 sections known.",
    );
  });

  it("says when there is nothing to import", () => {
    const sections = report({}).sections.slice(1);
    expect(previewSentence(report({ sections }))).toMatch("nothing to import");
  });
});
