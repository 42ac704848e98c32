// How it looks and whether everybody can use it: every view in three sizes, light and dark, with little and with much.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import AxeBuilder from "@axe-core/playwright";
import { Daemon, fleet, launch, sizes, until, views, Watched } from "./harness.mjs";

let browser, daemon;
before(async () => {
  browser = await launch();
  daemon = await Daemon.start();
  // Many names and many kinds of failure, so that lists are cut short.
  const many = Array.from({ length: 3000 }, (_, i) => ({
    endpoint: `/v1/tool/${"read write search plan fetch index rank".split(" ")[i % 7]}-${i % 61}`, source: "mcp scenario bot langfuse ci".split(" ")[i % 5], staffer_id: `agent-${i % 83}`, task_class: `class-${i % 11}`,
    session_id: `s-${i % 150}`, sig_hash: `h-${i % 400}`, success: i % 6 !== 0, duration_ms: 40 + (i % 90) * 10, input_summary: `job ${i}`, output_summary: "done", op_id: `many-${i}`,
    ...(i % 6 === 0 ? { error: `${"alpha beta gamma delta epsilon zeta eta theta iota kappa".split(" ")[(i / 6) % 10]} ${"one two three four five six seven eight nine ten eleven twelve".split(" ")[(i / 60) % 12 | 0]} ${"lost torn bent cold".split(" ")[(i / 6) % 4 | 0]} part` } : {}),
  }));
  await daemon.publish(many);
  await daemon.publish(fleet(800));
});
after(async () => {
  await browser.close();
  await daemon.end();
});

const settled = (watched, view) =>
  until(() => watched.page.evaluate(() => (document.querySelector("main")?.innerText.length ?? 0) > 20 && !document.querySelector(".waiting")), `${view} to be there`);

const shown = () => [...views, "trace?session_id=s-3", "trace?session_id=s-3&with=s-5", "trace?session_id=s-3&compare=true", "trajectory?task_class=support", "map/endpoint/%2Fv1%2Fchat", "map?table=true"];

for (const scheme of ["light", "dark"])
  for (const size of Object.keys(sizes))
    test(`every view, ${size}, ${scheme}: fits`, async () => {
      const watched = await Watched.open(browser, daemon.url, { size, scheme });
      for (const view of shown()) {
        await watched.go(`#/${view}`);
        await settled(watched, view);
        const wider = await watched.overflow();
        assert.ok(wider <= 0, `${view} is ${wider} px wider than the window`);
        await watched.shot(`${view.replace(/[^a-z0-9]+/gi, "-")}-${size}-${scheme}`);
      }
      await watched.close();
    });

for (const [scheme, size] of [["light", "wide"], ["dark", "wide"], ["light", "phone"]])
  test(`every view, ${size}, ${scheme}: axe finds nothing serious`, async (t) => {
    const small = await Daemon.start(); // what axe does grows with the rows, what it finds does not
    t.after(() => small.end());
    await small.publish(fleet(60));
    const watched = await Watched.open(browser, small.url, { size, scheme });
    for (const view of shown()) {
      await watched.go(`#/${view}`);
      await settled(watched, view);
      const { violations } = await new AxeBuilder({ page: watched.page }).analyze();
      const serious = violations.filter((v) => v.impact === "serious" || v.impact === "critical");
      assert.deepEqual(serious.map((v) => `${view}: ${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary}`).join(" | ")}`), []);
    }
    await watched.close();
  });

test("a list that is cut short says so", async () => {
  const watched = await Watched.open(browser, daemon.url);
  await watched.go("#/map?table=true");
  await watched.says(/Showing 200 of [\d,]+/);
  await watched.close();
});

test("at most some hundred rows are in the document, whatever is recorded", async () => {
  const watched = await Watched.open(browser, daemon.url);
  for (const view of views) {
    await watched.go(`#/${view}`);
    await settled(watched, view);
    const rows = await watched.page.evaluate(() => document.querySelectorAll("main tr, main li").length);
    assert.ok(rows <= 450, `${view}: ${rows} rows`);
  }
  await watched.close();
});

test("the theme can be chosen, and stays", async () => {
  const watched = await Watched.open(browser, daemon.url, { scheme: "light" });
  await watched.go("#/system");
  await settled(watched, "system");
  const theme = () => watched.page.evaluate(() => document.documentElement.dataset.theme ?? "");
  const before = await theme();
  await watched.page.locator(".foot button").first().click();
  await until(async () => (await theme()) !== before || (await watched.page.locator(".foot").innerText()).includes("Light"), "another theme");
  await watched.close();
});
