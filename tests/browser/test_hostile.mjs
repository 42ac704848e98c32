// Whatever an op says is text: it is shown, never run, and what would not be seen is named.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, launch, sizes, until, views, Watched } from "./harness.mjs";

const script = `<script>window.pwned = 1</script><img src=x onerror="window.pwned = 1"><svg onload="window.pwned = 1">`;
const link = `javascript:window.pwned=1//"><a href="https://evil.example/">x</a>`;
const turned = "invoice\u202Egpj.exe\u202C \u200Bzero \u2066isolate\u2069 \u0007bell \u001b[31mred";
const long = "A".repeat(64 * 1024 - 8) + "\u202Eend";

let browser, daemon;
before(async () => {
  browser = await launch();
  daemon = await Daemon.start();
  const rows = [];
  for (const [i, text] of [script, link, turned, "]]>--><!--" + script, "{{constructor.constructor('window.pwned=1')()}}"].entries())
    for (let n = 0; n < 8; n++)
      rows.push({
        endpoint: `/e${i}${text}`, source: `s${i}${text}`.slice(0, 200), success: n % 2 === 0, error: n % 2 ? text : undefined, output_summary: text, input_summary: text, staffer_id: `a${i}${text}`,
        session_id: "one", cycle_id: text, sig_hash: `h${i}${text}`, task_class: `t${i}${text}`, event_kind: text, duration_ms: 5, extra: { model: text, [text]: text },
      });
  for (let n = 0; n < 4; n++) rows.push({ endpoint: "/long", source: "mcp", success: false, error: long, input_summary: long, output_summary: "", staffer_id: "long", session_id: "one", sig_hash: "long", task_class: "long", duration_ms: 5 });
  rows.push({ endpoint: "overseer:x", source: "overseer_correction", success: true, correction: script, task_class: script, output_summary: script });
  for (const row of rows) for (const name of Object.keys(row)) if (row[name] === undefined) delete row[name];
  for (const row of rows) await daemon.publish(row);
});
after(async () => {
  await browser.close();
  await daemon.end();
});

/** What markup of an op would leave behind. */
function traces() {
  return {
    pwned: window.pwned,
    elements: [...document.querySelectorAll("main img, main script, main iframe, main object, main embed, [onload], [onerror]")].map((e) => e.outerHTML.slice(0, 100)),
    links: [...document.querySelectorAll("a[href]")].map((a) => a.getAttribute("href")).filter((href) => !/^(#|\/)/.test(href)),
    unseen: [...document.body.innerText].filter((c) => /[\u202a-\u202e\u2066-\u2069\u200b\u0007\u001b]/.test(c)).length,
  };
}

for (const size of Object.keys(sizes))
  test(`every view, ${size}: nothing of an op is markup, nothing is wider than the window`, async () => {
    const watched = await Watched.open(browser, daemon.url, { size });
    const { page } = watched;
    const [kind] = (await daemon.get("/v1/observer/clusters?limit=1")).clusters;
    const more = [`failures/${kind.id}`, `map/endpoint/${encodeURIComponent(`/e0${script}`)}`, "map?table=true", "trace?session_id=one", `trajectory?task_class=${encodeURIComponent(`t0${script}`)}`, `knowledge?endpoint=${encodeURIComponent(`/e0${script}`)}`, "console?seq=2", "console?seq=41"];
    for (const view of [...views, ...more]) {
      await watched.go(`#/${view}`);
      await until(() => page.evaluate(() => (document.querySelector("main")?.innerText.length ?? 0) > 20 && !document.querySelector(".waiting")), `${view} to be there`);
      assert.deepEqual(await page.evaluate(traces), { pwned: undefined, elements: [], links: [], unseen: 0 }, view);
      const wider = await watched.overflow();
      assert.ok(wider <= 0, `${view} is ${wider} px wider than the window`);
    }
    await watched.close();
  });

test("it is shown literally, and what is unseen is named", async () => {
  const watched = await Watched.open(browser, daemon.url);
  await watched.go("#/trace?session_id=one");
  await watched.says("<script>window.pwned = 1</script>");
  await watched.says("U+202E");
  await watched.shot("hostile-trace");
  await watched.close();
});

test("a hostile address changes nothing", async () => {
  const watched = await Watched.open(browser, daemon.url);
  for (const hash of ["#/nowhere", "#/map?hide=%5B1%2C%7B%7D%5D&overlay=x&window=y", "#/failures/<script>", "#/console?seq=-1", "#/trace?session_id=%00%ff", "#/%E0%A4%A", `#/knowledge/${encodeURIComponent(script)}`, "#/trajectory?task_class=x&from=NaN&to=1e99", "#/alerts/%5B%5D"]) {
    await watched.go(hash);
    await until(() => watched.page.evaluate(() => (document.querySelector("main")?.innerText.length ?? 0) > 5 && !document.querySelector(".waiting")), `${hash} to be answered`);
    assert.deepEqual(await watched.page.evaluate(() => [window.pwned, document.querySelectorAll("main script, main img").length]), [undefined, 0], hash);
  }
  await watched.close();
});
