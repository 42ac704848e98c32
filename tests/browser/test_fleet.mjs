// A fleet at work: what the views show of it, how one narrows it down, and the way from a failure to the op that shows it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, fleet, launch, until, Watched } from "./harness.mjs";

let browser, daemon;
before(async () => {
  browser = await launch();
  daemon = await Daemon.start();
  await daemon.publish(fleet(1200));
  await daemon.publish([
    { endpoint: "overseer:gpt-oss", source: "overseer_correction", success: true, task_class: "support", sig_hash: "sig-2", correction: "Ask for the order number first.", output_summary: "Ask for the order number first." },
  ]);
  await daemon.publish(fleet(200, { from: 1200 }));
});
after(async () => {
  await browser.close();
  await daemon.end();
});

/** A page of the daemon, closed and checked at the end of the test. */
async function open(hash, options) {
  const watched = await Watched.open(browser, daemon.url, options);
  await watched.go(hash);
  return watched;
}

const hash = (page) => page.evaluate(() => decodeURIComponent(location.hash));

test("overview: the sentence names what fails", async () => {
  const watched = await open("");
  await watched.says("/v1/chat");
  await watched.says("qwen3-coder", 30);
  await watched.shot("overview");
  await watched.close();
});

test("from a failure to the op that shows it", async () => {
  const watched = await open("#/failures");
  const { page } = watched;
  await watched.says("upstream timeout after");
  await page.locator("main tbody tr", { hasText: "upstream timeout after" }).first().click();
  await until(async () => /^#\/failures\/[0-9a-f]{16}/.test(await hash(page)), "the page of the kind");
  await watched.says("qwen3-coder");
  await watched.shot("cluster");
  await page.locator(".op-row[open]").first().waitFor(); // its evidence lies open
  await watched.says(/"op_id": "fleet-\d+"/); // the row as it is in the journal
  await watched.shot("op");
  await page.locator(".op-row[open] .op-facts a").first().click();
  await until(async () => (await hash(page)).startsWith("#/trace?"), "the session that it is of");
  await page.locator(".step.is-fail").first().click();
  await page.locator(".beside").getByRole("link", { name: /Journal row/ }).click();
  await until(async () => /^#\/console\?.*seq=\d+/.test(await hash(page)), "the op's own address");
  await watched.says(/"op_id": "fleet-\d+"/);
  await page.goBack();
  await until(async () => (await hash(page)).startsWith("#/trace?"), "the way back");
  await watched.close();
});

test("a filter holds for all views, is in the address, and goes", async () => {
  const watched = await open("#/map?endpoint=/v1/search");
  const { page } = watched;
  await watched.says("/v1/search");
  await until(async () => !(await watched.text()).includes("scenario:fill"), "the others to be gone");
  await page.getByRole("link", { name: /^Failures/ }).click();
  await until(async () => (await hash(page)).startsWith("#/failures?endpoint=/v1/search"), "the filter to go along");
  await page.locator(".chip").first().click();
  await until(async () => (await hash(page)) === "#/failures", "the filter to be gone");
  await watched.says("upstream timeout after");
  await watched.close();
});

test("map: overlays, hover, the side panel, shift and click, hiding, as a table", async () => {
  const watched = await open("#/map");
  const { page } = watched;
  const node = (name) => page.locator(".node", { hasText: name });
  await node("qwen3-coder").waitFor();
  for (const overlay of ["latency", "volume", "new", "retries", "failures"]) {
    await page.getByRole("link", { name: overlay, exact: true }).click();
    await page.locator(`.choice a[aria-current]`, { hasText: overlay }).waitFor();
  }
  await node("qwen3-coder").hover();
  await until(() => page.evaluate(() => document.querySelectorAll(".node.is-dim").length > 0), "the rest to be dimmed");
  assert.equal(await node("scenario:fill").evaluate((n) => n.classList.contains("is-dim")), true);
  assert.equal(await node("/v1/chat").evaluate((n) => n.classList.contains("is-dim")), false);
  await node("qwen3-coder").click();
  await page.locator(".beside", { hasText: "Kinds of failure" }).waitFor();
  await watched.says("upstream timeout after");
  await watched.shot("map-side");
  await page.keyboard.press("Escape");
  await until(async () => (await page.locator(".beside").count()) === 0, "Escape to close it");
  await node("qwen3-coder").click({ modifiers: ["Shift"] });
  await until(async () => (await hash(page)).includes("staffer_id=qwen3-coder"), "shift and click to narrow down");
  await page.locator(".chip").first().click();
  await node("bot-north").click();
  await page.getByRole("link", { name: "Hide" }).click();
  await until(async () => (await node("bot-north").count()) === 0, "it to be hidden");
  await page.getByRole("link", { name: /show 1 hidden/ }).click();
  await node("bot-north").waitFor();
  await page.getByRole("link", { name: "as table" }).click();
  await page.getByRole("table", { name: "who talks to what" }).waitFor();
  await watched.says("qwen3-coder");
  await watched.close();
});

test("map: names keep their places while numbers move", async () => {
  const watched = await open("#/map");
  const { page } = watched;
  await page.locator(".node", { hasText: "qwen3-coder" }).waitFor();
  const places = () => page.evaluate(() => [...document.querySelectorAll(".map-body .node")].map((n) => [n.querySelector(".node-name").innerText, n.style.left, n.style.top].join(" ")).sort());
  const then = await places();
  const total = async () => (await daemon.get("/v1/observer/live")).totals.ops;
  const before = await total();
  await daemon.publish(fleet(300, { from: 5000, failing: false }));
  assert.equal(await total(), before + 300);
  const said = () => page.locator(".node", { hasText: "bot:cycle" }).getAttribute("title");
  const old = await said();
  await until(async () => (await said()) !== old, "the numbers to move");
  assert.deepEqual(await places(), then);
  await watched.close();
});

test("trace: the first failure, stepping with j and k, errors only, one step, its journal row", async () => {
  const watched = await open("#/trace?session_id=s-8");
  const { page } = watched;
  await page.locator(".step.is-fail.is-chosen").waitFor();
  await watched.shot("trace");
  const chosen = () => page.evaluate(() => [...document.querySelectorAll(".step")].findIndex((s) => s.classList.contains("is-chosen")));
  await page.keyboard.press("j");
  await until(async () => (await hash(page)).includes("step="), "the step in the address");
  const at = await chosen();
  await page.keyboard.press("j");
  await until(async () => (await chosen()) === at + 1, "j to go on");
  await page.keyboard.press("k");
  await until(async () => (await chosen()) === at, "k to go back");
  await page.locator(".beside").getByRole("link", { name: /Journal row/ }).waitFor();
  await page.getByRole("link", { name: "errors only" }).click();
  await until(async () => (await page.locator(".step").count()) > 0 && (await page.locator(".step:not(.is-fail)").count()) === 0, "only failures");
  await page.getByRole("link", { name: "all steps" }).click();
  await until(async () => (await page.locator(".step:not(.is-fail)").count()) > 0, "all steps again");
  await watched.close();
});

test("trace: it begins with runs that failed lately", async () => {
  const watched = await open("#/trace");
  await watched.page.locator(".starts a").first().click();
  await watched.page.locator(".step").first().waitFor();
  await watched.close();
});

test("trajectory: its class in words, a range and what it has in common, as a table", async () => {
  const watched = await open("#/trajectory?task_class=support");
  const { page } = watched;
  await watched.says(/CONVERGING|LOOPING|ORBITING|PLATEAU|MIXED/);
  await page.locator(".trajectory-pane .cell.is-fail").first().waitFor();
  await watched.shot("trajectory");
  const pane = await page.locator(".trajectory-pane").boundingBox();
  await page.mouse.move(pane.x + 30, pane.y + 60);
  await page.mouse.down();
  await page.mouse.move(pane.x + 300, pane.y + 60, { steps: 4 });
  await page.mouse.up();
  await page.locator(".beside", { hasText: "failed here" }).waitFor();
  assert.match(await hash(page), /from=\d+&to=\d+/);
  await watched.shot("trajectory-range");
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "as table" }).click();
  await page.getByRole("table", { name: "attempts, the newest first" }).waitFor();
  await watched.close();
});

test("metrics: each card has its source, what is good, and its Prometheus name, which exists", async () => {
  const watched = await open("#/metrics");
  const { page } = watched;
  await page.locator(".card").first().waitFor();
  const cards = await page.evaluate(() => [...document.querySelectorAll(".card")].map((c) => [c.querySelector("h3").innerText, c.querySelector(".card-prometheus").innerText, c.innerText]));
  assert.ok(cards.length >= 15, `${cards.length} cards`);
  for (const [name, , text] of cards) for (const word of ["source", "good", "if not"]) assert.ok(text.includes(word), `${name}: ${word}`);
  const scrape = await fetch(`${daemon.url}/metrics`);
  const said = await scrape.text();
  assert.deepEqual(cards.filter(([, prometheus]) => !new RegExp(`^# TYPE ${prometheus} `, "m").test(said)).map(([name, prometheus]) => `${name}: ${prometheus}`), []);
  await watched.shot("metrics");
  await page.getByRole("link", { name: "24 h" }).click();
  await page.locator(".choice a[aria-current]", { hasText: "24 h" }).waitFor();
  await watched.close();
});

test("knowledge: entries with their effect, corrections, search, and the advice an agent gets", async () => {
  const watched = await open("#/knowledge");
  const { page } = watched;
  await page.locator(".kb").first().waitFor({ timeout: 60_000 });
  await watched.says("Ask for the order number first.");
  await watched.shot("knowledge");
  await page.getByLabel("search").fill("order number");
  await until(async () => (await page.locator(".kb").count()) === 1, "the search to narrow it down");
  await page.getByLabel("search").fill("");
  await page.getByLabel("endpoint").fill("/v1/chat");
  await page.getByRole("button", { name: "Ask" }).click();
  await watched.says(/of 1,000 at most/);
  await page.goto(page.url().replace(/#.*/, "#/knowledge"));
  await page.locator('.kb a.kb-text[href^="#/knowledge/"]').first().click(); // a correction's leads to the console
  await until(async () => /^#\/knowledge\/[0-9a-f]{16}/.test(await hash(page)), "an entry in full");
  await page.locator(".beside", { hasText: "Edits" }).waitFor();
  await watched.close();
});

test("keyboard: views, filter, help", async () => {
  const watched = await open("");
  const { page } = watched;
  await watched.says("/v1/chat");
  const press = async (keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  for (const [key, view] of [["m", "map"], ["f", "failures"], ["t", "trace"], ["j", "trajectory"], ["x", "metrics"], ["k", "knowledge"], ["a", "alerts"], ["c", "console"], ["s", "system"], ["o", "overview"]]) {
    await press(["g", key]);
    await until(async () => (await hash(page)).startsWith(`#/${view}`), `g ${key} to open ${view}`);
  }
  await press(["?"]);
  await page.getByRole("dialog").waitFor();
  await watched.shot("help");
  await press(["Escape"]);
  await until(async () => !(await page.getByRole("dialog").isVisible()), "the help to close");
  await press(["g", "f"]);
  await watched.says("upstream timeout after");
  await press(["/"]);
  await until(() => page.evaluate(() => document.activeElement?.hasAttribute("data-filter")), "the filter to have the focus");
  await press(["Escape", "j"]);
  await until(() => page.evaluate(() => document.activeElement?.hasAttribute("data-row")), "a row to have the focus");
  await press(["Enter"]);
  await until(async () => /^#\/failures\/[0-9a-f]{16}/.test(await hash(page)), "Enter to open it");
  await watched.close();
});

test("what stood there before the script is gone when it runs", async () => {
  const watched = await open("");
  await watched.says("ops/s");
  assert.equal(await watched.page.locator(".boot").count(), 0);
  assert.equal((await watched.text()).match(/^observer$/gm).length, 1);
  await watched.close();
});

test("console: it stands still while it is read, and goes on", async () => {
  const watched = await open("#/console");
  const { page } = watched;
  await until(() => watched.requests.some((url) => /live\?after=/.test(url)), "the first poll");
  await daemon.publish(fleet(5, { from: 9000 }));
  await watched.says(/\/v1\/chat[\s\S]*2\.5\d s/);
  await watched.shot("console");
  await watched.close();
});

test("two sessions beside each other: how it is asked for, where they part, differences only, by the keyboard, on a phone", async () => {
  const step = (session_id, n, endpoint, more = {}) => ({
    timestamp: new Date(Date.now() - (20 - n) * 1000).toISOString(), endpoint, source: "mcp", staffer_id: "comparer", task_class: "compared", session_id, success: true,
    duration_ms: 120, input_summary: `step ${n}`, output_summary: "done", op_id: `${session_id}-${n}`, ...more,
  });
  await daemon.publish([
    step("good", 1, "/plan"), step("good", 2, "/fetch"), step("good", 3, "/write"), step("good", 4, "/close"),
    step("bad", 1, "/plan", { duration_ms: 900 }), step("bad", 2, "/fetch"), step("bad", 3, "/look"), step("bad", 4, "/write", { success: false, error: "disk full", output_summary: "" }),
  ]);
  const watched = await open("#/trace?session_id=bad");
  const { page } = watched;
  await page.getByRole("link", { name: "compare", exact: true }).click();
  await page.locator(".compare-with .starts a", { hasText: "good" }).click();
  await until(async () => (await hash(page)) === "#/trace?session_id=bad&with=good", "both in the address");
  const rows = () => page.locator(".compare-pair").evaluateAll((all) => all.map((r) => [...r.children].map((c) => (c.querySelector(".one-line") ?? c).innerText.replace(/\s+/g, " ").trim())));
  await page.locator(".compare-pair").first().waitFor();
  assert.deepEqual(await rows(), [
    ["/plan", "7.5× as long", "/plan"],
    ["/fetch", "=", "/fetch"],
    ["/look", "only left", ""],
    ["/write", "fails left", "/write"],
    ["", "only right", "/close"],
  ]);
  await watched.says("2 steps alike, then /look stands only on the left.");
  await watched.shot("compare");
  await page.getByRole("link", { name: "differences only" }).click();
  await until(async () => (await rows()).length === 4, "what is alike to be gone");
  await page.getByRole("link", { name: "swap" }).click();
  await watched.says("/look stands only on the right");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await until(async () => /^#\/trace\?session_id=bad&step=\d+$/.test(await hash(page)), "the step in its own run");
  await page.locator(".step.is-chosen", { hasText: "/look" }).waitFor();
  const phone = await open("#/trace?session_id=bad&with=good", { size: "phone" });
  await phone.page.locator(".compare-pair").first().waitFor();
  assert.ok((await phone.overflow()) <= 0);
  await phone.close();
  await watched.close();
});
