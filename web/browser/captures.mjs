// The way of a server that cannot run the agent: from the list of hosts to its findings, by dropping its files.

import { readdir } from "node:fs/promises";
import { checkAccessibility, watch } from "./checks.mjs";

/**
 * `capture` is `folder|client|host|finding`: its files are imported for the client, and the host then shows the finding.
 * The first scheme imports a new host, the second brings it up to date.
 */
export async function checkCapture(browser, signedIn, url, { capture, screenshots, faults, deadline }) {
  if (!capture) return;
  const [folder, client, host, finding] = capture.split("|");
  const files = (await readdir(folder)).map((name) => `${folder}/${name}`);
  for (const colorScheme of ["light", "dark"]) {
    const at = `capture (${colorScheme})`;
    const context = await browser.newContext({
      colorScheme,
      storageState: signedIn,
      viewport: { width: 1440, height: 1100 },
      reducedMotion: "reduce",
    });
    const page = await context.newPage();
    const seen = watch(page);
    const look = async (name) => {
      faults.push(...(await checkAccessibility(page)).map((fault) => `${at}, ${name}: ${fault}`));
      await page.screenshot({ path: `${screenshots}/capture-${name}-${colorScheme}.png`, fullPage: true });
    };
    await page.goto(`${url}/hosts`);
    await page.getByRole("link", { name: "Add a server without an agent" }).click();
    await page
      .getByRole("heading", { level: 1, name: "Add a server without an agent" })
      .waitFor({ timeout: deadline });
    const script = page.waitForEvent("download", { timeout: deadline });
    await page.getByRole("link", { name: "portreeve-capture.cmd" }).click();
    const name = (await script).suggestedFilename();
    if (name !== "portreeve-capture.cmd") faults.push(`${at}: the script is called ${name}`);

    // What is not understood is said, and cannot be imported.
    const hostile = {
      name: "<img src=x>.txt",
      mimeType: "text/plain",
      buffer: Buffer.from("<b>no</b> output\n"),
    };
    await page.getByLabel("Files of the capture").setInputFiles([hostile]);
    await page.getByText("there is nothing to import").waitFor({ timeout: deadline });
    await page.getByText("1 line was not understood").click();
    await page.getByText("<img src=x>.txt:1", { exact: true }).waitFor({ timeout: deadline });
    await look("nothing");

    await page.getByLabel("Files of the capture").setInputFiles(files);
    const understood = page.getByRole("region", { name: "What was understood" });
    await understood.getByText("sockets (netstat)").first().waitFor({ timeout: deadline });
    await understood.getByText(finding, { exact: true }).waitFor({ timeout: deadline });
    await page.getByLabel("Client").selectOption({ label: client });
    await page.getByLabel("Name of the server").fill(host);
    await look("preview");

    await page.getByRole("button", { name: "Import", exact: true }).click();
    const imported = page.getByRole("region", { name: "Imported" });
    await imported.getByRole("link", { name: host, exact: true }).waitFor({ timeout: deadline });
    await imported.getByRole("link", { name: finding, exact: true }).waitFor({ timeout: deadline });
    await look("imported");
    await imported.getByRole("link", { name: host, exact: true }).click();
    await page.getByRole("heading", { level: 1, name: host, exact: true }).waitFor({ timeout: deadline });
    await page.getByRole("tab", { name: "Findings" }).click();
    await page.getByRole("link", { name: finding, exact: true }).waitFor({ timeout: deadline });
    await look("host");
    faults.push(...seen.take().map((fault) => `${at}: ${fault}`));
    await context.close();
  }
}
