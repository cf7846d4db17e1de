// The dashboard in a real browser, against a running server: every page in both colour schemes.
//
// Fails on a console error, a violated content security policy, an axe violation (WCAG 2.0 to 2.2, A and AA), a script
// that a name from a host managed to run, a first load that weighs too much, and a change that does not reach an open
// page. Keeps a screenshot of each page. Waits for conditions with a deadline, never for a time.
//
// Environment: PORTREEVE_URL, PORTREEVE_NAME and PORTREEVE_PASSWORD of an operator; PORTREEVE_SCREENSHOTS, a folder
// (default ../tests/screenshots); PORTREEVE_CHANGE, a shell command that makes a finding open or resolve on the server
// (without it the page is watched until the fleet changes by itself); PORTREEVE_HOSTILE, text of a host's name that
// must be shown as text; PORTREEVE_HOST, `name|service|port`, a host that must be there with both; PORTREEVE_CAPTURE,
// `folder|client|host|finding`, a capture to import, and the title of a finding that it then shows; CHROMIUM (default /usr/bin/chromium).

import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";
import { checkCapture } from "./captures.mjs";
import { checkAccessibility, watch, weighFirstLoad } from "./checks.mjs";
import { checkKeyboard, checkPhone } from "./hands.mjs";
import { findPages, signIn } from "./journey.mjs";
import { checkHost, checkHostileNames, checkLive } from "./living.mjs";

const SCHEMES = ["light", "dark"];
const DEADLINE_MS = 15_000;
const FIRST_LOAD_KB = 350;

const url = required("PORTREEVE_URL").replace(/\/$/, "");
const operator = { name: required("PORTREEVE_NAME"), password: required("PORTREEVE_PASSWORD") };
const screenshots = process.env.PORTREEVE_SCREENSHOTS ?? "../tests/screenshots";
await mkdir(screenshots, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

const faults = [];
try {
  const signedIn = await signIn(browser, url, operator, { screenshots, faults, deadline: DEADLINE_MS });
  const pages = await findPages(signedIn, url);
  console.log(`${pages.length} pages, each in ${SCHEMES.join(" and ")}`);
  for (const colorScheme of SCHEMES) await visitAll(signedIn, pages, colorScheme);
  const kilobytes = Math.ceil((await weighFirstLoad(browser, signedIn, url)) / 1024);
  console.log(`The first load weighs ${kilobytes} KB of ${FIRST_LOAD_KB}`);
  if (kilobytes > FIRST_LOAD_KB) faults.push(`the first load weighs ${kilobytes} KB`);
  await checkHostileNames(browser, signedIn, url, {
    hostile: process.env.PORTREEVE_HOSTILE,
    faults,
    deadline: DEADLINE_MS,
  });
  await checkHost(browser, signedIn, url, {
    host: process.env.PORTREEVE_HOST,
    screenshots,
    faults,
    deadline: DEADLINE_MS,
  });
  await checkCapture(browser, signedIn, url, {
    capture: process.env.PORTREEVE_CAPTURE,
    screenshots,
    faults,
    deadline: DEADLINE_MS,
  });
  await checkKeyboard(browser, signedIn, url, { screenshots, faults, deadline: DEADLINE_MS });
  await checkPhone(browser, signedIn, url, pages, { screenshots, faults, deadline: DEADLINE_MS });
  await checkLive(browser, signedIn, url, {
    change: process.env.PORTREEVE_CHANGE,
    faults,
    deadline: DEADLINE_MS,
  });
} catch (error) {
  faults.push(error.message.split("\n").slice(0, 4).join(" "));
} finally {
  await browser.close();
}

if (faults.length > 0) {
  console.error(`\n${faults.length} faults:\n${faults.map((fault) => `- ${fault}`).join("\n")}`);
  process.exit(1);
}
console.log(`The browser found nothing wrong; screenshots are in ${screenshots}`);

async function visitAll(signedIn, pages, colorScheme) {
  const context = await browser.newContext({
    colorScheme,
    storageState: signedIn,
    viewport: { width: 1440, height: 900 },
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  const seen = watch(page);
  for (const { name, path, ready } of pages) {
    const at = `${name} (${colorScheme})`;
    try {
      await page.goto(url + path, { waitUntil: "domcontentloaded" });
      await page
        .getByRole(ready.role, { name: ready.name, exact: true })
        .first()
        .waitFor({ timeout: DEADLINE_MS });
      await page.waitForFunction(
        () => !document.querySelector('[role="status"][aria-label="Loading"]'),
        null,
        {
          timeout: DEADLINE_MS,
        },
      );
      await page.evaluate(() => document.fonts.ready);
      faults.push(...(await checkAccessibility(page)).map((fault) => `${at}: ${fault}`));
      await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}.png` });
    } catch (error) {
      faults.push(`${at}: ${error.message.split("\n")[0]}`);
      await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}-failed.png` });
    }
    faults.push(...seen.take().map((fault) => `${at}: ${fault}`));
  }
  await context.close();
}

function required(name) {
  const value = process.env[name];
  if (value) return value;
  console.error(`${name} is not set; see the head of web/browser/run.mjs`);
  process.exit(2);
}
