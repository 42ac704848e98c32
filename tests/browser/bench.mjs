// How fast the page is there, and whether it keeps its memory: printed, never asserted.
//
//   OBSERVER_BUILD=build node tests/browser/run.mjs --file bench.mjs [--loads N] [--minutes N]
//
// First paint, the moment when the page is of use (the first answer of `live` is on the screen) and the moment when the overview's
// sentence is, with the processor slowed down four times, of a page that nothing of is cached. With --minutes also the heap while ops come in, after a collection each time.
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { Daemon, fleet, launch, until, Watched } from "./harness.mjs";

const { values } = parseArgs({ options: { loads: { type: "string", default: "7" }, minutes: { type: "string", default: "0" }, rate: { type: "string", default: "200" } } });
const SLOWER = 4;

const middle = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Notes when the page first says how it stands, and how the fleet is, in its own time. */
function noteUse() {
  const wanted = { use: [".standing", /ops\/s/], sentence: [".sentence h1", /worst|One endpoint|All is well/] };
  window.__at = {};
  const look = new MutationObserver(() => {
    for (const [name, [where, what]] of Object.entries(wanted)) {
      if (!what.test(document.querySelector(where)?.textContent ?? "")) continue;
      delete wanted[name];
      // The frame after this one has it on the screen.
      requestAnimationFrame(() => requestAnimationFrame(() => (window.__at[name] = performance.now())));
    }
    if (!Object.keys(wanted).length) look.disconnect();
  });
  look.observe(document, { subtree: true, childList: true, characterData: true });
}

async function oneLoad(browser, daemon) {
  const watched = await Watched.open(browser, daemon.url);
  await watched.page.addInitScript(noteUse);
  const cdp = await watched.context.newCDPSession(watched.page);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  await watched.go();
  const { use, sentence } = await until(() => watched.page.evaluate(() => window.__at.use && window.__at.sentence && window.__at), "the page to be of use", 60);
  const paint = await until(() => watched.page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime), "the first paint", 60);
  const bytes = await watched.page.evaluate(() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation")).filter((e) => !e.name.includes("/v1/")).reduce((sum, e) => sum + e.encodedBodySize, 0));
  await watched.close();
  return { paint, use, sentence, bytes };
}

async function loads(browser, daemon, n) {
  await oneLoad(browser, daemon); // the browser's own start
  const all = [];
  for (let i = 0; i < n; i++) all.push(await oneLoad(browser, daemon));
  const of = (name) => middle(all.map((l) => l[name])).toFixed(0);
  console.log(`page: first paint ${of("paint")} ms (aim 300), of use ${of("use")} ms (aim 500), its sentence ${of("sentence")} ms, processor ${SLOWER} times slower, median of ${n} loads; ${all[0].bytes} bytes on the wire; load average ${loadavg()[0].toFixed(1)}`);
}

async function heap(browser, daemon, minutes, rate) {
  const watched = await Watched.open(browser, daemon.url);
  const cdp = await watched.context.newCDPSession(watched.page);
  await cdp.send("Performance.enable");
  const look = async () => {
    await cdp.send("HeapProfiler.collectGarbage");
    const { metrics } = await cdp.send("Performance.getMetrics");
    const of = (name) => metrics.find((m) => m.name === name)?.value ?? 0;
    return { heap: of("JSHeapUsedSize") / 2 ** 20, nodes: of("Nodes"), busy: of("TaskDuration"), at: of("Timestamp") };
  };
  const round = ["", "#/console", "#/map", "#/failures", "#/metrics"];
  let from = 100_000;
  const rows = [];
  const end = Date.now() + minutes * 60_000;
  await watched.go();
  while (Date.now() < end) {
    // Half a minute a view, so that what a view leaves behind is seen as well.
    await watched.page.evaluate((hash) => (location.hash = hash || "#/overview"), round[rows.length % round.length]);
    const first = await look();
    const until = Math.min(end, Date.now() + 30_000);
    while (Date.now() < until) {
      const began = Date.now();
      await daemon.publish(fleet(rate, { from }));
      from += rate;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1_000 - (Date.now() - began))));
    }
    const then = await look();
    rows.push({ ...then, share: (then.busy - first.busy) / (then.at - first.at) });
  }
  for (const [i, row] of rows.entries())
    console.log(`page: ${((i + 1) / 2).toFixed(1)} min  ${(round[i % round.length] || "#/overview").slice(2).padEnd(9)} heap ${row.heap.toFixed(1)} MiB  ${row.nodes} nodes  main thread ${(row.share * 100).toFixed(1)} %`);
  console.log(`page: heap ${rows[0].heap.toFixed(1)} MiB after half a minute, ${rows[rows.length - 1].heap.toFixed(1)} MiB after ${minutes} minutes at ${rate} ops/s`);
  await watched.close();
}

const daemon = await Daemon.start();
const browser = await launch();
try {
  await daemon.publish(fleet(2000));
  await loads(browser, daemon, Number(values.loads));
  if (Number(values.minutes) > 0) await heap(browser, daemon, Number(values.minutes), Number(values.rate));
} finally {
  await browser.close();
  await daemon.end();
}
