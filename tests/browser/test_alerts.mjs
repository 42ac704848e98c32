// An alert from its beginning to its end, as the page shows it: it fires, is silenced, is resolved; the rules in words.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Daemon, launch, makeKeys, until, Watched } from "./harness.mjs";

let browser, dir;
before(async () => {
  browser = await launch();
  dir = mkdtempSync(join(tmpdir(), "obs-browser-rules-"));
});
after(async () => {
  await browser.close();
  rmSync(dir, { recursive: true, force: true });
});

const rule = {
  id: "three-failures", on: "op", severity: "page", text: "three failures of an endpoint within a quarter of a minute",
  when: [{ FieldEquals: { field: "success", value: false } }], count: { at_least: 3, within: "15s", by: ["endpoint"] }, keep: "1s",
};
const failures = (n) => Array.from({ length: n }, () => ({ endpoint: "/v1/pay", source: "mcp", success: false, error: "card declined", duration_ms: 12 }));

test("an alert fires, is shown with what shows it, is silenced, and ends", async (t) => {
  const file = join(dir, "rules.json");
  writeFileSync(file, JSON.stringify({ rules: [rule], builtin: false }));
  const daemon = await Daemon.start({ args: ["--rules", file] });
  t.after(() => daemon.end());
  const watched = await Watched.open(browser, daemon.url);
  const { page } = watched;
  await watched.go("#/alerts");
  await watched.says("Nothing fires.");
  await watched.says("three failures of an endpoint within a quarter of a minute");
  await daemon.publish(failures(5));
  await page.locator("nav .mark.is-fail").waitFor();
  const row = page.getByRole("table", { name: "alerts" }).locator("tbody tr");
  await row.first().waitFor();
  assert.match(await row.first().innerText(), /firing\s+three-failures\s+\/v1\/pay/);
  await watched.shot("alerts-firing");
  await row.first().click();
  await page.locator(".beside", { hasText: "Ops that show it" }).waitFor();
  assert.equal(await page.locator(".beside .seqs a").count() > 0, true);
  await page.locator(".beside").getByLabel("why").fill("known, the bank is down");
  await page.locator(".beside").getByRole("button", { name: "Silence" }).click();
  const silences = page.getByRole("table", { name: "silences" });
  await silences.waitFor();
  assert.match(await silences.innerText(), /three-failures[\s\S]*known, the bank is down/);
  await until(async () => (await daemon.get("/v1/observer/alerts")).alerts[0].silenced_by !== null || (await row.first().innerText()).includes("resolved"), "the alert to be silenced");
  await watched.shot("alerts-silenced");
  await silences.getByRole("button", { name: "end" }).click();
  await watched.says("None. An open alert can be silenced");
  await watched.says("Nothing fires.", 60);
  await page.getByRole("link", { name: "resolved", exact: true }).click();
  await watched.says("three-failures");
  await watched.close();
});

test("a key that may only read cannot silence, and is told so", async (t) => {
  const file = join(dir, "more.json");
  writeFileSync(file, JSON.stringify({ rules: [rule], builtin: false }));
  const { file: keys, texts } = makeKeys(dir, { reader: "read", producer: "ingest" });
  const daemon = await Daemon.start({ args: ["--rules", file, "--keys", keys] });
  t.after(() => daemon.end());
  await daemon.publish(failures(5), { "x-api-key": texts.producer });
  const watched = await Watched.open(browser, daemon.url, { key: texts.reader });
  const { page } = watched;
  await watched.go("#/alerts");
  await page.getByRole("table", { name: "alerts" }).locator("tbody tr").first().click();
  await page.locator(".beside").getByLabel("why").fill("mine");
  await page.locator(".beside").getByRole("button", { name: "Silence" }).click();
  await watched.says("The key must have the scope admin for this.");
  await watched.close();
});

test("a broken file of rules is told", async (t) => {
  const file = join(dir, "broken.json");
  writeFileSync(file, JSON.stringify({ rules: [{ ...rule, on: "moon" }] }));
  const daemon = await Daemon.start({ args: ["--rules", file] });
  t.after(() => daemon.end());
  const watched = await Watched.open(browser, daemon.url);
  await watched.go("#/alerts");
  await watched.says("The file is not used");
  await watched.close();
});
