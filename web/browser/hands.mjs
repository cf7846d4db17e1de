// The dashboard by keyboard alone, and on a screen as wide as a hand.

import { checkAccessibility, watch } from "./checks.mjs";

/** Sequences, the search of a page and the palette lead where they say. */
export async function checkKeyboard(browser, signedIn, url, { screenshots, faults, deadline }) {
  const context = await browser.newContext({
    storageState: signedIn,
    viewport: { width: 1440, height: 900 },
  });
  const page = await context.newPage();
  const seen = watch(page);
  await page.goto(url);
  await page.getByRole("region", { name: "Worst findings" }).waitFor({ timeout: deadline });

  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await page.getByRole("heading", { level: 1, name: "Hosts", exact: true }).waitFor({ timeout: deadline });

  const search = page.getByRole("searchbox", { name: "Search hosts" });
  await search.waitFor({ timeout: deadline });
  await page.keyboard.press("/");
  await page.keyboard.type("zz g f");
  const typed = await search.inputValue();
  if (typed !== "zz g f")
    faults.push(`keyboard: a search holds ${JSON.stringify(typed)} instead of what was typed`);

  await page.keyboard.press("Control+k");
  const palette = page.getByRole("dialog");
  await palette.getByLabel("Search everything").waitFor({ timeout: deadline });
  await page.keyboard.type("upda");
  await palette.getByRole("button", { name: "Updates" }).waitFor({ timeout: deadline });
  faults.push(...(await checkAccessibility(page)).map((fault) => `palette: ${fault}`));
  await page.screenshot({ path: `${screenshots}/palette.png` });
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Updates", exact: true }).waitFor({ timeout: deadline });
  faults.push(...seen.take().map((fault) => `keyboard: ${fault}`));
  await context.close();
}

/** Nothing is wider than a phone. */
export async function checkPhone(browser, signedIn, url, pages, { screenshots, faults, deadline }) {
  const context = await browser.newContext({ storageState: signedIn, viewport: { width: 390, height: 844 } });
  const page = await context.newPage();
  for (const { name, path, ready } of pages) {
    await page.goto(url + path);
    await page
      .getByRole(ready.role, { name: ready.name, exact: true })
      .first()
      .waitFor({ timeout: deadline });
    // A page may wait for several things at once.
    const nothingLoads = () => !document.querySelector('[role="status"][aria-label="Loading"]');
    await page.waitForFunction(nothingLoads, null, { timeout: deadline });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (over > 0) faults.push(`${name} on a phone: ${over} pixels too wide`);
    await page.screenshot({ path: `${screenshots}/${name}-phone.png` });
  }
  await context.close();
}
