// What the page of captures sends and says. Pure but for reading the files that were dropped.

import type { CaptureReport } from "../api/types";
import { count } from "./words";

/** As the server has it. */
export const MOST_BYTES = 32 * 1024 * 1024;
export const MOST_FILES = 500;

/** Where an imported host belongs; what is left empty is taken from the capture. */
export type Belonging = { client: number; site: number; host: string; capturedAt: string };

/** The form of a dry run, or with `belonging` of an import. */
export function captureForm(files: File[], belonging?: Belonging): FormData {
  const form = new FormData();
  if (belonging) {
    form.set("client", String(belonging.client));
    form.set("site", String(belonging.site));
    if (belonging.host.trim()) form.set("host", belonging.host.trim());
    if (belonging.capturedAt) form.set("captured_at", new Date(belonging.capturedAt).toISOString());
  } else {
    form.set("dry_run", "true");
  }
  for (const file of files) form.append("files", file, file.name);
  return form;
}

/** Why these files cannot be sent at all; `null`: they can. */
export function cannotSend(files: File[]): string | null {
  if (files.length === 0) return "There is no file in it.";
  if (files.length > MOST_FILES)
    return `A capture has at most ${MOST_FILES} files; these are ${files.length}.`;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  return bytes > MOST_BYTES ? `A capture has at most ${MOST_BYTES / 1024 / 1024} MiB.` : null;
}

/** What a dry run found, in one sentence. */
export function previewSentence(report: CaptureReport): string {
  const { understood, not_understood_total: lost, sections } = report;
  if (!isImportable(report)) return "Nothing in these files was understood, so there is nothing to import.";
  const files = new Set(understood.map((piece) => piece.file)).size;
  const known = sections.filter((section) => section.state === "known").length;
  const rest = lost === 0 ? "every line was" : `${count(lost, "line was", "lines were")} not`;
  return `${count(files, "file")} understood, ${rest}; ${known} of ${sections.length} sections known.`;
}

/** Whether the capture tells of anything at all. */
export function isImportable({ sections }: Pick<CaptureReport, "sections">): boolean {
  return sections.some((section) => section.state === "known");
}

/** What was dropped: files, and those of folders, one level deep, as the script writes them. */
export async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  // The list of items is emptied as soon as this function waits for something.
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry?.() ?? []);
  if (entries.length === 0) return [...transfer.files];
  const files = await Promise.all(entries.map((entry) => filesOf(entry)));
  return files.flat();
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (isFile(entry)) return [await new Promise<File>((done, failed) => entry.file(done, failed))];
  const children = await childrenOf(entry as FileSystemDirectoryEntry);
  const files = children.filter(isFile);
  return (await Promise.all(files.map(filesOf))).flat();
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

/** A browser hands out a folder in portions, the last of them empty. */
async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const children: FileSystemEntry[] = [];
  for (;;) {
    const portion = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (portion.length === 0) return children;
    children.push(...portion);
  }
}
