// How it stands between page and daemon: empty, live, disconnected, restarted, stale, failing, and with or without a key.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, fleet, launch, makeKeys, until, views, Watched } from "./harness.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** A daemon and a page for one test. */
async function scene(t, options = {}) {
  const daemon = await Daemon.start(options.daemon);
  t.after(() => daemon.end());
  const watched = await Watched.open(browser, daemon.url, options.page);
  return { daemon, watched, page: watched.page };
}

/** Changes the answers of a route on their way. */
function alter(page, route, change) {
  return page.route(`**/v1/observer/${route}`, async (asked) => {
    const answer = await asked.fetch();
    await asked.fulfill({ response: answer, json: change(await answer.json()) });
  });
}

test("empty: the page says what to do, in each view nothing breaks", async (t) => {
  const { watched } = await scene(t);
  await watched.go();
  await watched.says("Nothing has been recorded yet.");
  await watched.says("observerctl demo");
  for (const view of views) {
    await watched.go(`#/${view}`);
    await until(() => watched.page.evaluate(() => document.querySelector("main")?.innerText.length > 20 && !document.querySelector(".waiting")), `${view} to be there`);
    await watched.shot(`empty-${view}`);
  }
  await watched.close();
});

test("live: what is published comes up by itself", async (t) => {
  const { daemon, watched } = await scene(t);
  await watched.go("#/console");
  await watched.says("nothing recorded");
  await daemon.publish([{ endpoint: "/first", source: "mcp", success: true, output_summary: "came up by itself" }]);
  await watched.says("/first");
  await daemon.publish([{ endpoint: "/second", source: "mcp", success: false, error: "and so did this" }]);
  await watched.says("and so did this");
  await watched.close();
});

test("disconnected, then restarted on the same port: all that was shown stays, and the page comes back by itself", async (t) => {
  const { daemon, watched } = await scene(t);
  await daemon.publish(fleet(400));
  await watched.go("#/map");
  await watched.says("/v1/chat");
  await daemon.stop();
  await watched.says("The daemon does not answer.");
  await watched.says(/Trying again/);
  assert.match(await watched.text(), /\/v1\/chat/, "what was known stays on the screen");
  await watched.shot("disconnected");
  await daemon.run();
  await watched.says("The daemon was restarted", 30);
  await until(async () => !(await watched.text()).includes("does not answer"), "the banner to go");
  await watched.shot("restarted");
  await daemon.publish([{ endpoint: "/after", source: "mcp", success: true }]);
  await watched.go("#/console");
  await daemon.publish([{ endpoint: "/after-too", source: "mcp", success: true }]);
  await watched.says("/after-too");
  await watched.close();
});

test("stale: a daemon that answers, and nobody publishes", async (t) => {
  const { daemon, watched, page } = await scene(t);
  await daemon.publish(fleet(50));
  await alter(page, "live*", (live) => ({ ...live, last_op: new Date(Date.parse(live.now) - 20 * 60_000).toISOString() }));
  await watched.go();
  await watched.says("no ops for 20 min");
  await watched.shot("stale");
  await watched.close();
});

test("not ready: the page says that nothing is recorded, and why", async (t) => {
  const { daemon, watched, page } = await scene(t);
  await daemon.publish(fleet(50));
  await alter(page, "live*", (live) => ({ ...live, ready: false, reasons: ["the journal cannot be written: No space left on device"] }));
  await watched.go();
  await watched.says("the journal cannot be written: No space left on device");
  await watched.close();
});

test("an error of the daemon: its words, and another try", async (t) => {
  const { daemon, watched, page } = await scene(t);
  await daemon.publish(fleet(100));
  let broken = true;
  await page.route("**/v1/observer/graph?*", (asked) =>
    broken ? asked.fulfill({ status: 503, contentType: "application/json", headers: { "retry-after": "1" }, body: JSON.stringify({ error: "the view is too busy" }) }) : asked.continue(),
  );
  await watched.go("#/map");
  await watched.says("the view is too busy");
  await watched.shot("error");
  broken = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await watched.says("/v1/chat");
  await watched.close();
});

test("an answer that is none: said, not thrown", async (t) => {
  const { daemon, watched, page } = await scene(t);
  await daemon.publish(fleet(100));
  await page.route("**/v1/observer/graph?*", (asked) => asked.fulfill({ status: 200, contentType: "application/json", body: "<html>a proxy's login</html>" }));
  await watched.go("#/map");
  await watched.says("the answer is not JSON");
  await watched.close();
});

test("keys: none, a wrong one, one that may not read, the right one", async (t) => {
  const dir = (await import("node:fs")).mkdtempSync("/tmp/obs-browser-keys-");
  t.after(async () => (await import("node:fs")).rmSync(dir, { recursive: true }));
  const { file, texts } = makeKeys(dir, { page: "read", producer: "ingest" });
  const { daemon, watched, page } = await scene(t, { daemon: { args: ["--keys", file] } });
  await daemon.publish(fleet(100), { "x-api-key": texts.producer });
  await watched.go("#/map");
  await watched.says("This daemon wants a key.");
  await watched.shot("no-key");
  const give = async (text) => {
    await page.getByLabel("Key", { exact: true }).fill(text);
    await page.getByRole("button", { name: "Use it" }).click();
  };
  await give("obs_r_aaaaaaaa_wrong");
  await watched.says("The daemon does not know this key.");
  await watched.shot("wrong-key");
  await give(texts.producer);
  await watched.says("This key may not read.");
  await watched.shot("wrong-scope");
  await give(texts.page);
  await watched.says("/v1/chat");
  // It is kept for this tab, and goes nowhere but into the header.
  assert.equal(await page.evaluate(() => sessionStorage.getItem("observer.key")), texts.page);
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify(localStorage)).then((s) => s.includes(texts.page)), false);
  assert.deepEqual(watched.requests.filter((url) => url.includes(texts.page)), []);
  await page.reload();
  await watched.says("/v1/chat");
  await page.getByRole("button", { name: "Forget key" }).click();
  await watched.says("This daemon wants a key.");
  await watched.close();
});

test("hidden: a page that nobody sees asks nothing", async (t) => {
  const { daemon, watched, page } = await scene(t);
  await daemon.publish(fleet(20));
  await watched.go("#/console");
  await until(() => watched.requests.filter((url) => url.includes("/live")).length >= 2, "two polls");
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  const asked = () => watched.requests.filter((url) => url.includes("/live")).length;
  const then = asked();
  await page.clock.install().catch(() => {}); // time that passes by itself is not needed below
  await daemon.publish(fleet(20, { from: 20 }));
  assert.equal(asked(), then);
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => false });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await until(() => asked() > then, "it to ask again");
  await watched.close();
});
