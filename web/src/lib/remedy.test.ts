import { expect, it } from "vitest";
import type { Finding } from "../api/types";
import { commandsInOneGo, script, scriptName } from "./remedy";

const finding = {
  title: "IAS did not start: udp/1812 is held by dns.exe",
  rule: "port-conflict/blocked",
  host: { id: 7, name: "DC2\r\ndel %windir% & echo <b>" },
  client: { id: 1, name: "Contoso" },
  remedy: {
    summary: "",
    applies_to: "Server 2008 R2",
    steps: [{ text: "Stop DNS Server", command: "net stop DNS" }, { text: "Look at the log" }],
    risk: "Name resolution stops for seconds",
    restart: "service",
    undo: [{ text: "Restart it", command: "net stop DNS & net start DNS" }],
    proven_when: "IAS runs",
  },
} as unknown as Finding;

it("holds the commands as they stand, and ends before those that undo them", () => {
  const lines = script(finding).split("\r\n");
  const running = lines.filter((line) => line !== "" && !line.startsWith("rem "));
  expect(running).toEqual(["@echo off", "net stop DNS", "pause", "exit /b", "net stop DNS & net start DNS"]);
});

it("takes line ends, variables and operators out of remarks", () => {
  const remarks = script(finding)
    .split("\r\n")
    .filter((line) => line.startsWith("rem "));
  expect(remarks.join("\n")).not.toMatch(/[%&<>^|]/);
  expect(remarks[1]).toContain("del  windir");
});

it("names the file by host and rule, in letters that any system takes", () => {
  expect(scriptName(finding)).toBe("portreeve-DC2-del-windir-echo-b-port-conflict-blocked.cmd");
});

it("offers commands in one go only where no step by hand comes before one of them", () => {
  const byHand = { text: "Remove the update", command: null };
  const restart = { text: "Restart", command: "shutdown /r /t 0" };
  expect(commandsInOneGo([restart, byHand])).toBe("shutdown /r /t 0");
  expect(commandsInOneGo([byHand, restart])).toBe("");
  expect(commandsInOneGo([byHand])).toBe("");
});
