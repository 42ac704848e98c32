// The System view of a daemon that belongs to a fleet over NATS: all are here, a worker has gone, NATS is away; and of one that is
// alone. A real nats-server, an edge and a worker; without the package the first is all there is to see.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { Daemon, fleet, freePort, launch, sizes, until, Watched } from "./harness.mjs";

const program = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"].map((dir) => join(dir, "nats-server")).find((path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
});

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** A server, an edge and a worker, for one test. */
async function scene(t) {
  const dir = mkdtempSync(join(tmpdir(), "obs-browser-nats-"));
  const port = await freePort();
  const server = spawn(program, ["-js", "-a", "127.0.0.1", "-p", String(port), "-sd", dir], { stdio: "ignore" });
  const ended = new Promise((resolve) => server.once("exit", resolve));
  const stop = async () => {
    server.kill("SIGKILL");
    await ended;
  };
  t.after(async () => {
    await stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const url = `nats://127.0.0.1:${port}`;
  const edge = await Daemon.start({ args: ["--forward", url] });
  t.after(() => edge.end());
  const worker = await Daemon.start({ args: ["--jetstream", url] });
  t.after(() => worker.end());
  await until(async () => {
    const got = await edge.get("/v1/observer/fleet");
    return got.complete && got.missing.length === 0 && got.edges.length === 1;
  }, "the fleet to be whole", 60);
  return { edge, worker, stop };
}

/** What the page is told of the fleet. */
function tell(page, picture) {
  return page.route("**/v1/observer/fleet", (asked) => asked.fulfill({ json: picture }));
}

test("alone: nothing is said of a fleet, and nothing asked", async (t) => {
  const daemon = await Daemon.start();
  t.after(() => daemon.end());
  const watched = await Watched.open(browser, daemon.url);
  await watched.go("#/system");
  await watched.says("This daemon");
  assert.doesNotMatch(await watched.text(), /The fleet/);
  assert.equal(watched.requests.some((url) => url.endsWith("/fleet")), false);
  await watched.close();
});

test("all are here; the last worker goes; NATS goes", { skip: !program && "no nats-server" }, async (t) => {
  const { edge, worker, stop } = await scene(t);
  await edge.publish(fleet(400));
  const watched = await Watched.open(browser, edge.url);
  const { page } = watched;
  await watched.go("#/system");
  await watched.says("The fleet, seen by this edge");
  await watched.says("64 partitions, each held by a worker");
  await watched.says("All are here, and nothing waits for long.");
  assert.equal(await page.locator(".squares i").count(), 64);
  assert.match(await page.getByRole("table", { name: "workers" }).innerText(), /here[\s\S]*64/);
  await watched.shot("fleet-whole");
  await page.getByRole("button", { name: "as a table" }).click();
  const rows = page.getByRole("table", { name: "partitions" }).locator("tbody tr");
  assert.equal(await rows.count(), 64);
  assert.match(await rows.first().innerText(), /^0\s+held/);
  await page.getByRole("button", { name: "as squares" }).click();

  await worker.stop();
  await watched.says("64 of 64 partitions are held by nobody: what comes into them waits in the stream.", 60);
  await page.locator(".squares i.is-fail").nth(63).waitFor();
  await watched.shot("fleet-no-worker");

  await stop();
  await watched.says(/NATS is away, for \d+/, 60);
  await watched.says("The other edges and workers are not known until NATS is back.");
  assert.equal(await page.locator(".squares").count(), 0);
  await watched.shot("fleet-nats-away");
  await watched.close();
});

test("a worker's page: nothing is published to it", { skip: !program && "no nats-server" }, async (t) => {
  const { worker } = await scene(t);
  const watched = await Watched.open(browser, worker.url);
  await watched.go();
  await watched.says("records nothing itself");
  assert.doesNotMatch(await watched.text(), /observerctl demo/);
  await watched.go("#/system");
  await watched.says("The fleet, seen by this worker");
  await watched.close();
});

test("an edge that is gone, a spool that fills, workers that lag, 4,096 partitions: at each width", { skip: !program && "no nats-server" }, async (t) => {
  const { edge } = await scene(t);
  const f = await edge.get("/v1/observer/fleet");
  const [here] = f.edges;
  const [worker] = f.workers;
  f.edges = [here, { ...here, id: "00000000000000aa", name: "edge-with-a-rather-long-name.of.some.domain.example", state: "away", seen_ms: 3_700_000 },
    { ...here, id: "00000000000000bb", name: "full", spool_ops: 123_456, spool_bytes: here.spool_max_bytes * 0.93, spool_age_ms: 400_000 }];
  f.workers = [{ ...worker, pending: 1234, lag_ms: 95_000, rebuilding: 3 }];
  f.partitions = Array.from({ length: 4096 }, (_, p) => ({ p, worker: p === 77 ? null : worker.id, checkpoint_ms: 31_000, pending: p % 500 === 3 ? 7 : 0, rebuilding: p % 500 === 4 }));
  f.missing = [77];
  for (const size of Object.keys(sizes))
    for (const scheme of ["light", "dark"]) {
      const watched = await Watched.open(browser, edge.url, { size, scheme });
      await tell(watched.page, f);
      await watched.go("#/system");
      await watched.says("1 of 4,096 partitions is held by nobody: what comes into it waits in the stream.");
      await watched.says(/Edge edge-with-a-rather-long-name\S* 0000 has not been heard for 1 h 1 min\./);
      await watched.says("The spool of edge full 0000 is 93 % full.");
      await watched.says(/Worker \S+ \S+ is 1 min 35 s behind\./);
      assert.equal(await watched.page.locator(".squares i.is-fail").count(), 1);
      assert.equal(await watched.page.locator(".squares i.is-change").count(), 18);
      assert.ok((await watched.overflow()) <= 0, `${size} is wider than the window`);
      await watched.shot(`fleet-trouble-${size}-${scheme}`);
      await watched.close();
    }
});
