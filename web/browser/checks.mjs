// What is wrong with a page, whatever page it is.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** Violations of WCAG on the page as it stands, one text each. */
export async function checkAccessibility(page) {
  // Run as the page's debugger, so that the content security policy stays as strict as it is for everyone.
  await page.evaluate(axe);
  const { violations } = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), TAGS);
  return violations.map(({ id, help, nodes: places }) => {
    const where = places
      .slice(0, 3)
      .map((place) => `${place.target.join(" ")}: ${place.any[0]?.message ?? ""}`);
    return `axe ${id}: ${help} (${places.length}): ${where.join("; ")}`;
  });
}

/** Listens to a page for errors; `take` gives what came since it was called last. */
export function watch(page) {
  let seen = [];
  page.on("console", (message) => {
    // A content security policy that blocks something says so here, too.
    if (message.type() === "error") seen.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => seen.push(`uncaught: ${error.message}`));
  page.on("dialog", (dialog) => {
    seen.push(`a dialog opened: ${dialog.message()}`);
    dialog.dismiss();
  });
  return {
    take() {
      const taken = seen;
      seen = [];
      return taken;
    },
  };
}

/** Bytes of code, styles and fonts that the first page fetches, compressed as a server would. */
export async function weighFirstLoad(browser, signedIn, url) {
  const context = await browser.newContext({ storageState: signedIn });
  const page = await context.newPage();
  const parts = [];
  page.on("response", (response) => {
    if (!response.url().startsWith(`${url}/api/`))
      parts.push(response.body().then((body) => gzipSync(body).length));
  });
  await page.goto(url, { waitUntil: "load" });
  await page.getByRole("region", { name: "Fleet" }).waitFor();
  await page.evaluate(() => document.fonts.ready);
  const sizes = await Promise.all(parts);
  await context.close();
  return sizes.reduce((sum, size) => sum + size, 0);
}
