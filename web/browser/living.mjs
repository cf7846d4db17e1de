// What only a living page can show: names from hosts stay text, and changes arrive by themselves.

import { exec } from "node:child_process";
import { promisify } from "node:util";

const CHANGE_DEADLINE_MS = 120_000;

/** A name with markup in it is found by its text, and nothing in it became an element or ran. */
export async function checkHostileNames(browser, signedIn, url, { hostile, faults, deadline }) {
  if (!hostile) return;
  const context = await browser.newContext({ storageState: signedIn });
  const page = await context.newPage();
  page.on("dialog", (dialog) => {
    faults.push(`hostile name: a dialog opened: ${dialog.message()}`);
    dialog.dismiss();
  });
  for (const path of ["/hosts", "/findings?state=all", "/"]) {
    await page.goto(url + path);
    await page.getByRole("heading", { level: 1 }).waitFor({ timeout: deadline });
    if (path === "/hosts")
      await page.getByRole("link", { name: hostile, exact: true }).waitFor({ timeout: deadline });
    const strange = await page.evaluate(
      () => document.querySelectorAll("#root script, #root iframe, #root img").length,
    );
    if (strange > 0) faults.push(`hostile name: ${strange} elements of its own on ${path}`);
  }
  await page.goto(`${url}/hosts`);
  await page.getByRole("link", { name: hostile, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: hostile, exact: true }).waitFor({ timeout: deadline });
  await context.close();
}

/** A given host, found by its name in the list, shows a service and a port that it is known to have. */
export async function checkHost(browser, signedIn, url, { host, screenshots, faults, deadline }) {
  if (!host) return;
  const [name, service, port] = host.split("|");
  const context = await browser.newContext({
    storageState: signedIn,
    viewport: { width: 1440, height: 900 },
  });
  const page = await context.newPage();
  await page.goto(`${url}/hosts`);
  await page.getByRole("link", { name, exact: true }).click();
  const shown = async (text, tab) => {
    const seen = page.getByRole("region", { name: tab }).getByText(text, { exact: true }).first();
    await seen.waitFor({ timeout: deadline }).catch(() => faults.push(`${name}: no ${text} under ${tab}`));
    await page.screenshot({ path: `${screenshots}/windows-${tab.toLowerCase()}.png` });
  };
  await shown(service, "Services");
  await page.getByRole("tab", { name: "Ports" }).click();
  await shown(port, "Ports");
  await context.close();
}

/** An open overview changes without a reload after `change` was run, or when the fleet changes by itself. */
export async function checkLive(browser, signedIn, url, { change, faults, deadline }) {
  const context = await browser.newContext({ storageState: signedIn });
  const page = await context.newPage();
  await page.goto(url);
  await page.getByRole("region", { name: "Worst findings" }).waitFor({ timeout: deadline });
  await page.getByLabel("Connection: Live").filter({ visible: true }).waitFor({ timeout: deadline });
  const loads = [];
  page.on("load", () => loads.push(page.url()));
  const before = await page.evaluate(happenings);
  if (change) await promisify(exec)(change);
  const changed = await until(async () => (await page.evaluate(happenings)) !== before, CHANGE_DEADLINE_MS);
  if (!changed) faults.push(`live: the overview did not change within ${CHANGE_DEADLINE_MS / 1000} s`);
  if (loads.length > 0) faults.push("live: the page was loaded again");
  await context.close();
}

/** What the overview shows, without the times, which pass by themselves. Runs in the page. */
function happenings() {
  const copy = document.querySelector("main").cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.remove();
  return copy.textContent;
}

/** Asks again until the answer is yes. Playwright's own way to wait needs `eval`, which the page's policy forbids. */
async function until(condition, deadline) {
  const end = Date.now() + deadline;
  while (Date.now() < end) {
    if (await condition()) return true;
    await new Promise((next) => setTimeout(next, 100));
  }
  return false;
}
