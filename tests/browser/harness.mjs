// What the browser tests share: a real observerd, Debian's Chromium, and pages that are watched: whatever the page asks of another
// origin, whatever its policy forbids and whatever its script throws fails the test.
//
// Environment:
//   OBSERVER_BUILD   folder that holds observerd
//   OBSERVER_SHOTS   folder for the screenshots
//   OBSERVER_SLOW    factor for every deadline (default 1)
//   CHROMIUM         the browser (default: chromium of the path)
import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { chromium } from "playwright-core";

export const slow = Number(process.env.OBSERVER_SLOW ?? "1");
export const build = process.env.OBSERVER_BUILD;
export const shots = process.env.OBSERVER_SHOTS ?? join(build ?? ".", "browser-shots");
if (!build) throw new Error("OBSERVER_BUILD is not set");
mkdirSync(shots, { recursive: true });

/** Polls until what `look` returns is true, and returns that; fails after the deadline with what was seen last. */
export async function until(look, what, seconds = 30) {
  const end = Date.now() + seconds * 1000 * slow;
  for (let wait = 5, last = null; ; wait = Math.min(wait * 1.5, 100)) {
    try {
      const value = await look();
      if (value) return value;
      last = value;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`deadline passed: ${what}; last: ${last}`, { cause: last });
    await pause(wait);
  }
}

/** A port that the daemon can have again after a restart. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// ---- the daemon ----

export class Daemon {
  constructor({ port, dir, args = [] }) {
    Object.assign(this, { port, dir, args, url: `http://127.0.0.1:${port}`, output: "", process: null });
  }

  static async start(options = {}) {
    const dir = mkdtempSync(join(tmpdir(), "obs-browser-"));
    const daemon = new Daemon({ port: await freePort(), dir, ...options });
    await daemon.run();
    return daemon;
  }

  command() {
    const none = ["--pull", "--sub", "--rep", "--feed"].flatMap((flag) => [flag, "none"]);
    return ["--http", this.url, ...none, "--data-dir", join(this.dir, "data"), "--cycle", "1", ...this.args];
  }

  async run() {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(OBSERVER_|GATEWAY_URL|LAKEHOUSE_URL|LLM_TEAM_URL)/.test(name)));
    this.output = "";
    this.process = spawn(join(build, "observerd"), this.command(), { cwd: this.dir, env, stdio: ["ignore", "pipe", "pipe"] });
    this.ended = new Promise((resolve) => this.process.once("exit", (code, signal) => resolve(code ?? signal)));
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (text) => (this.output += text));
    await until(() => {
      if (this.process.exitCode !== null) throw new Error(`observerd ended: ${this.output}`);
      return /^ready/m.test(this.output);
    }, "observerd to be ready");
  }

  /** SIGTERM; it must drain and exit with 0. */
  async stop() {
    if (this.process === null) return;
    this.process.kill("SIGTERM");
    assert.equal(await this.ended, 0, this.output);
    this.process = null;
  }

  /** Whatever state it is in, it is gone afterwards, with its files. */
  async end() {
    if (this.process !== null) {
      this.process.kill("SIGKILL");
      await this.ended;
      this.process = null;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  async request(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, { method, headers: { "content-type": "application/json", ...headers }, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  get(path, headers) {
    return this.request("GET", path, undefined, headers);
  }

  /** Records ops; they are durable and counted when this returns. */
  publish(ops, headers) {
    return this.request("POST", "/v1/observer/event", ops, headers);
  }
}

/** Keys of a key file in `dir`: their texts, by name. */
export function makeKeys(dir, keys) {
  const file = join(dir, "keys.json");
  const texts = {};
  for (const [name, scopes] of Object.entries(keys)) {
    const said = execFileSync(join(build, "observerctl"), ["key", "--keys", file, "--scope", scopes, "new", name], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    texts[name] = /obs_[a-z]+_\S+/.exec(said)[0];
  }
  return { file, texts };
}

// ---- ops ----

/** `n` ops of a small fleet; one agent fails often at one endpoint. The same for the same arguments. */
export function fleet(n, { from = 0, failing = true } = {}) {
  const works = [
    ["/v1/chat", "mcp", "support", ["gpt-oss", "qwen2.5", "qwen3-coder"], 900],
    ["/v1/search", "mcp", "sourcing", ["gpt-oss", "qwen2.5"], 60],
    ["scenario:fill", "scenario", "staffing_fill", ["planner-a", "planner-b"], 240],
    ["bot:cycle", "bot", "maintenance", ["bot-north"], 2500],
  ];
  return Array.from({ length: n }, (_, k) => {
    const i = from + k;
    const [endpoint, source, task_class, staffers, ms] = works[i % works.length];
    const staffer_id = staffers[(i >> 2) % staffers.length];
    const bad = failing && staffer_id === "qwen3-coder" && endpoint === "/v1/chat" && (i >> 4) % 2 === 0;
    return {
      timestamp: new Date().toISOString(), endpoint, source, task_class, staffer_id, input_summary: `job ${i}`, success: !bad,
      duration_ms: bad ? 8600 : ms + (i % 17) * 3, output_summary: bad ? "" : "done", session_id: `s-${i % 12}`, sig_hash: `sig-${i % 40}`,
      op_id: `fleet-${i}`, ...(bad ? { error: `upstream timeout after ${8600 + i} ms` } : {}), extra: { model: staffer_id },
    };
  });
}

// ---- the browser ----

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--font-render-hinting=none",
];

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: flags });
}

export const sizes = { wide: { width: 1440, height: 900 }, middle: { width: 1024, height: 768 }, phone: { width: 390, height: 844 } };

let shotNumber = 1;

/** Reports of the policy, in the page, before its own script. */
function listenForViolations() {
  window.__violations = [];
  document.addEventListener("securitypolicyviolation", (e) => window.__violations.push(`${e.violatedDirective}: ${e.blockedURI} ${e.sample} (${e.sourceFile}:${e.lineNumber})`));
}

/** A page in a context of its own, and what it did that it must not. */
export class Watched {
  static async open(browser, origin, { size = "wide", scheme = "light", key, ...more } = {}) {
    const self = new Watched();
    self.origin = origin;
    self.context = await browser.newContext({ viewport: sizes[size], colorScheme: scheme, reducedMotion: "reduce", timezoneId: "UTC", locale: "en-GB", ...more });
    self.context.setDefaultTimeout(30000 * slow);
    self.page = await self.context.newPage();
    self.requests = [];
    self.problems = [];
    self.expected = [];
    await self.page.addInitScript(listenForViolations);
    if (key) await self.page.addInitScript((text) => sessionStorage.setItem("observer.key", text), key);
    self.page.on("request", (request) => {
      self.requests.push(request.url());
      if (!request.url().startsWith(origin + "/") && !request.url().startsWith("data:")) self.problems.push(`asked another origin: ${request.url()}`);
    });
    self.page.on("pageerror", (error) => self.problems.push(`script: ${error.stack ?? error}`));
    self.page.on("console", (message) => {
      // What an answer's status or a lost connection makes the browser itself say is no fault of the page.
      if (message.type() === "error" && !/Failed to load resource/.test(message.text())) self.problems.push(`console: ${message.text()}`);
    });
    self.page.on("dialog", (dialog) => {
      self.problems.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    return self;
  }

  /** Goes to a view: `#/map?window=5m`. */
  async go(hash = "") {
    await this.page.goto(`${this.origin}/${hash}`, { waitUntil: "load" });
  }

  text() {
    return this.page.evaluate(() => document.body.innerText);
  }

  /** Waits until the page says it. */
  async says(what, seconds) {
    let text = "";
    try {
      await until(async () => {
        text = await this.text();
        return what instanceof RegExp ? what.test(text) : text.includes(what);
      }, `the page to say ${what}`, seconds);
    } catch (e) {
      await this.shot(`failed-${shotNumber++}`);
      throw new Error(`${e.message}\nit says:\n${text.slice(0, 2000)}\nits problems: ${JSON.stringify(this.problems)}`);
    }
  }

  async shot(name) {
    await this.page.screenshot({ path: join(shots, `${name}.png`) });
  }

  /** How far the document is wider than the window, in pixels. */
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  }

  async check() {
    const violations = await this.page.evaluate(() => window.__violations ?? []);
    assert.deepEqual([...this.problems, ...violations], []);
  }

  /** What must hold at the end of each test; then the page is closed. */
  async close() {
    try {
      await this.check();
    } finally {
      await this.context.close();
    }
  }
}

export const views = ["overview", "map", "failures", "trace", "trajectory", "metrics", "knowledge", "alerts", "console", "system"];

export function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}
