// The way an operator goes: sign in, then every page there is, found by following the API as the dashboard does.

import { checkAccessibility, watch } from "./checks.mjs";

/** Signs in through the form, from a deep link that must be come back to. Gives the browser's state for later pages. */
export async function signIn(browser, url, { name, password }, { screenshots, faults, deadline }) {
  for (const colorScheme of ["dark", "light"]) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 1440, height: 900 } });
    const page = await context.newPage();
    const seen = watch(page);
    await page.goto(`${url}/hosts?state=reporting`);
    await page.getByLabel("Name").waitFor({ timeout: deadline });
    faults.push(...(await checkAccessibility(page)).map((fault) => `sign-in (${colorScheme}): ${fault}`));
    await page.screenshot({ path: `${screenshots}/sign-in-${colorScheme}.png` });
    // The refused request for the session is the one error that belongs here.
    faults.push(
      ...seen
        .take()
        .filter((fault) => !/status of 401/.test(fault))
        .map((fault) => `sign-in: ${fault}`),
    );
    if (colorScheme === "dark") {
      await context.close();
      continue;
    }

    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password", { exact: true }).fill("wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page
      .getByRole("alert")
      .getByText("The name or the password is wrong")
      .waitFor({ timeout: deadline });
    seen.take();

    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Hosts" }).waitFor({ timeout: deadline });
    if (!page.url().endsWith("/hosts?state=reporting")) faults.push(`sign-in: came back to ${page.url()}`);
    faults.push(...seen.take().map((fault) => `after sign-in: ${fault}`));
    const state = await context.storageState();
    await context.close();
    return state;
  }
}

/** Every page, with a real finding, host and update in those that show one. */
export async function findPages(signedIn, url) {
  const cookie = signedIn.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  const ask = async (path) => {
    const answer = await fetch(`${url}/api/v1${path}`, { headers: { cookie } });
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
    return answer.json();
  };
  const heading = (name) => ({ role: "heading", name });
  const region = (name) => ({ role: "region", name });

  const { items: findings } = await ask("/findings?state=open&limit=100");
  const { items: updates } = await ask("/updates?limit=500");
  const { items: problems } = await ask("/problems?state=open&limit=1");
  const forecast = await ask("/forecast?limit=1");
  const port = findings.find((finding) => finding.rule.startsWith("port-conflict/"));
  const update = findings.find((finding) => finding.rule.startsWith("bad-update/"));
  const host = port?.host ?? (await ask("/hosts?limit=1")).items[0];
  const { items: captures } = await ask("/hosts?state=capture&limit=1");
  const capture = captures[0];
  const bad = updates.find((each) => each.verdict) ?? updates[0];

  const pages = [
    { name: "overview", path: "/", ready: region("Worst findings") },
    { name: "findings", path: "/findings", ready: heading("Findings") },
    {
      name: "findings-none",
      path: "/findings?q=nothing-is-called-this",
      ready: { role: "link", name: "Show all open findings" },
    },
    { name: "findings-all", path: "/findings?state=all&severity=critical", ready: heading("Findings") },
    { name: "problems", path: "/problems", ready: heading("Problems") },
    { name: "problems-all", path: "/problems?state=all", ready: heading("Problems") },
    { name: "reboot", path: "/reboot", ready: region("The plan that brings it to zero") },
    { name: "hosts", path: "/hosts", ready: region("Hosts") },
    { name: "updates", path: "/updates", ready: heading("Updates") },
    { name: "catalog", path: "/catalog", ready: region("Entries of the catalog") },
    { name: "catalog-overrides", path: "/catalog?tab=overrides", ready: heading("Catalog") },
    { name: "catalog-releases", path: "/catalog?tab=releases", ready: heading("Catalog") },
    { name: "health", path: "/health", ready: region("Agents") },
    { name: "captures", path: "/captures", ready: heading("Add a server without an agent") },
    { name: "not-found", path: "/no-such-page", ready: { role: "link", name: "Go to the overview" } },
  ];
  if (port) pages.push({ name: "finding-port", path: `/findings/${port.id}`, ready: region("Do this") });
  const problem = problems[0];
  if (problem)
    pages.push({ name: "problem", path: `/problems/${problem.key}`, ready: region("Who joined and left") });
  const first = forecast.plan.items[0];
  if (first)
    pages.push({
      name: "host-reboot",
      path: `/hosts/${first.host.id}?tab=reboot`,
      ready: region(first.services[0]),
    });
  if (update)
    pages.push({ name: "finding-update", path: `/findings/${update.id}`, ready: region("Do this") });
  if (host) {
    const at = `/hosts/${host.id}`;
    const held = port?.subject?.port ?? "udp/53";
    pages.push(
      { name: "host-services", path: at, ready: region("Services") },
      { name: "host-ports", path: `${at}?tab=ports`, ready: region("Ports") },
      {
        name: "host-boots",
        path: `${at}?tab=boots&port=${encodeURIComponent(held)}`,
        ready: region("All boots"),
      },
      { name: "host-events", path: `${at}?tab=events`, ready: { role: "searchbox", name: "Search events" } },
      {
        name: "host-updates",
        path: `${at}?tab=updates`,
        ready: { role: "searchbox", name: "Search updates" },
      },
      { name: "host-findings", path: `${at}?tab=findings`, ready: heading(host.name) },
      { name: "host-plan", path: `${at}?tab=plan`, ready: region("Plan") },
      {
        name: "host-past",
        path: `${at}?at=${encodeURIComponent(new Date(Date.now() - 60_000).toISOString())}`,
        ready: { role: "group", name: "Moment that is shown" },
      },
      {
        name: "host-changes",
        path: `${at}?tab=changes`,
        ready: { role: "radiogroup", name: "What to compare" },
      },
      {
        name: "host-port-held",
        path: `${at}?tab=ports&port=${encodeURIComponent(held)}`,
        ready: region(`Who held ${held}`),
      },
      { name: "port", path: `/ports/${held}`, ready: heading(`Who has ${held}`) },
      { name: "host-facts", path: `${at}?tab=facts`, ready: region("Port policy") },
      {
        name: "host-boots-none",
        path: `/hosts/${capture?.id ?? host.id}?tab=boots`,
        ready: heading(capture?.name ?? host.name),
      },
    );
  }
  if (bad) pages.push({ name: "update", path: `/updates/${bad.kb}`, ready: region("Hosts that list it") });
  return pages;
}
