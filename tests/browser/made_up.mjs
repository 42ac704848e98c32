// Made-up answers of the routes that the page reads, in the shapes of proto/, the same at each start. `empty`: a daemon that has
// recorded nothing; `demo`: a small fleet with planted faults; `large`: a fleet of many names.

function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

const boot = "8f3a51c2d4e60b79";
const born = Date.now();
const iso = (ms) => new Date(ms).toISOString();
const ago = (s) => iso(Date.now() - s * 1000);
const hex = (n) => (n * 2654435761).toString(16).padStart(16, "0").slice(0, 16);

const staffers = ["gpt-oss:120b", "qwen2.5", "qwen3-coder", "planner-a", "planner-b", "mailer-1", "mailer-2", "mailer-3", "extractor-1", "extractor-2", "bot-north", "bot-south"];
const works = [
  ["/v1/chat", "mcp", [0, 1, 2], 1630, 900],
  ["/v1/search", "mcp", [0, 1, 2], 960, 60],
  ["scenario:fill", "scenario", [3, 4], 864, 240],
  ["mailer:send", "mcp", [5, 6, 7], 670, 120],
  ["/v1/extract", "langfuse", [8, 9], 480, 1500],
  ["bot:cycle", "bot", [10, 11], 190, 2500],
];

function edges(data, window) {
  const part = { "1m": 1 / 60, "5m": 1 / 12, "1h": 1 }[window] ?? 1;
  const rand = random(7);
  const out = [];
  const add = (staffer_id, source, endpoint, ops, share, mean, usual, fresh, retries) =>
    out.push({
      staffer_id, source, endpoint,
      ops: Math.ceil(ops * part), failures: Math.round(ops * part * share), retries: Math.round(ops * part * retries),
      mean_ms: mean, usual_ms: usual, first_seen: ago(fresh ? 900 : 86400), last_seen: ago(2), fresh,
    });
  for (const [endpoint, source, who, ops, ms] of works) {
    for (const i of who) {
      const bad = endpoint === "/v1/chat" && i === 2;
      add(staffers[i], source, endpoint, (ops * (0.7 + rand() * 0.6)) / who.length, bad ? 0.41 : rand() * 0.012,
        bad ? ms * 9.5 : ms * (0.9 + rand() * 0.2), ms, i === 9, bad ? 0.22 : rand() * 0.004);
    }
  }
  add(null, "mcp", "/v1/embed", 44, 0, 31, null, true, 0);
  if (data === "large") {
    for (let i = 0; i < 420; i++) {
      const share = rand() < 0.06 ? rand() * 0.6 : rand() * 0.02;
      add(`agent-${String(i % 90).padStart(3, "0")}`, ["mcp", "bot", "scenario", "langfuse", "scrum", "ci", "cron", "eval", "batch"][i % 9],
        `/v1/tool/${["read", "write", "search", "plan", "fetch", "index", "rank"][i % 7]}-${i % 60}`, 20 + rand() * rand() * 2000, share,
        50 + rand() * 900, rand() < 0.8 ? 60 + rand() * 700 : null, rand() < 0.05, share / 3);
    }
  }
  return out.sort((a, b) => b.ops - a.ops);
}

function graph(data, params) {
  const all = data === "empty" ? [] : edges(data, params.get("window") ?? "1h");
  const limit = Number(params.get("limit") ?? 100);
  const from = Number(params.get("cursor") ?? 0);
  const next = from + limit < all.length ? String(from + limit) : null;
  return {
    window: params.get("window") ?? "1h", now: iso(Date.now()), edges: all.slice(from, from + limit),
    other: { ops: data === "large" ? 812 : 0, failures: data === "large" ? 9 : 0, retries: 0, mean_ms: data === "large" ? 210 : null, usual_ms: null },
    held: all.length, total: all.length, next_cursor: next, complete: true,
  };
}

function op(seq, time, over) {
  return {
    kind: "op", seq, start: iso(time - (over.duration_ms ?? 0)), end: iso(time), duration_ms: 400, endpoint: "/v1/chat", source: "mcp",
    staffer_id: "qwen3-coder", session_id: "s-1f-17", task_class: "support", event_kind: null, sig_hash: null, success: true, error: null,
    cluster: null, attempt: 1, retry_of: null, ...over,
  };
}

function timeline(data, params) {
  const key = ["session_id", "cycle_id", "staffer_id", "sig_hash"].find((k) => params.has(k)) ?? "session_id";
  const value = params.get(key) ?? "";
  const none = { ops: 0, failures: 0, first: null, last: null, busy_ms: 0, idle_ms: 0, longest_idle_ms: 0, staffers: [], first_failure_seq: null, of_page: false };
  if (data === "empty") return { key, value, summary: none, rows: [], next_cursor: null, complete: true };
  const start = Date.now() - 3600e3;
  const rand = random(21);
  const rows = [];
  let t = start, seq = 4100;
  const push = (over, gap = 800) => {
    t += over.duration_ms + gap;
    rows.push(op((seq += 3), t, over));
    return seq;
  };
  for (let i = 0; i < 9; i++) push({ endpoint: i % 3 ? "/v1/search" : "/v1/chat", staffer_id: "planner-a", duration_ms: Math.round(60 + rand() * 500) });
  const failed = push({ duration_ms: 8600, success: false, error: "upstream timeout after 8600 ms (attempt 1)", cluster: hex(11), sig_hash: "a91c" }, 1200);
  const second = push({ duration_ms: 9100, success: false, error: "upstream timeout after 9100 ms (attempt 2)", cluster: hex(11), sig_hash: "a91c", attempt: 2, retry_of: failed }, 2500);
  push({ staffer_id: "gpt-oss:120b", duration_ms: 950, sig_hash: "a91c", attempt: 3, retry_of: second }, 1500);
  rows.push({ kind: "idle", start: iso(t), end: iso(t + 2170e3), duration_ms: 2170e3, after_seq: seq });
  t += 2170e3;
  push({ endpoint: "scenario:fill", source: "scenario", staffer_id: "planner-a", task_class: "staffing_fill", duration_ms: 260 });
  const runFrom = seq + 1;
  rows.push({
    ...op(runFrom, t + 66e3, { duration_ms: 52800, endpoint: "scenario:fill", source: "scenario", staffer_id: "planner-b", task_class: "staffing_fill", success: false, error: "no roster for Gary, IN", cluster: hex(12), sig_hash: "77be" }),
    kind: "run", count: 220, first_seq: runFrom, last_seq: runFrom + 440, start: iso(t), end: iso(t + 66e3), seq: undefined, attempt: undefined, retry_of: undefined,
  });
  t += 66e3;
  seq = runFrom + 440;
  rows.push({ kind: "correction", seq: (seq += 1), start: iso(t + 500), text: "Gary has no roster before the 1st of the month: fill from Hammond.", applies_to: "task_class staffing_fill" });
  for (let i = 0; i < (data === "large" ? 150 : 6); i++)
    push({ endpoint: "scenario:fill", source: "scenario", staffer_id: i % 2 ? "planner-b" : "planner-a", task_class: "staffing_fill", duration_ms: Math.round(150 + rand() * 250), success: i !== 2, error: i === 2 ? "409 shift 8812 taken" : null, cluster: i === 2 ? hex(13) : null });
  const kept = params.get("errors") === "true" ? rows.filter((r) => r.kind === "correction" || r.success === false) : rows;
  return {
    key, value,
    summary: { ops: 240, failures: 223, first: iso(start), last: iso(t), busy_ms: 81000, idle_ms: 2170e3, longest_idle_ms: 2170e3, staffers: ["planner-a", "qwen3-coder", "gpt-oss:120b", "planner-b"], first_failure_seq: failed, of_page: false },
    rows: kept, next_cursor: data === "large" ? "more" : null, complete: true,
  };
}

function trajectory(data, params) {
  const key = params.has("sig_hash") ? "sig_hash" : "task_class";
  const value = params.get(key) ?? "";
  if (data === "empty") return { key, value, class: null, why: "no attempts are recorded", slope: null, attempts: [], share: [], markers: [], earlier: 0, complete: true };
  const rand = random(value.length + 3);
  const n = data === "large" ? 400 : 48;
  const attempts = [], share = [];
  let failures = 0;
  for (let i = 1; i <= n; i++) {
    const ok = rand() > (i < 22 ? 0.62 : 0.1);
    if (!ok) failures++;
    attempts.push({
      attempt: i, seq: 3000 + i * 7, time: ago((n - i) * 60), success: ok, duration_ms: Math.round(200 + rand() * 400),
      cluster: ok ? null : hex(rand() < 0.7 ? 12 : 13), template: ok ? null : "no roster for <*>", correction: i === 21 ? 3147 : null,
      staffer_id: i % 2 ? "planner-a" : "planner-b", session_id: `s-${i >> 2}`, endpoint: "scenario:fill", model: i < 34 ? "qwen2.5" : "qwen3",
    });
    const half = Math.min(0.5, 1.9 / Math.sqrt(i + 1));
    share.push({ attempt: i, failures: failures / i, low: Math.max(0, failures / i - half), high: Math.min(1, failures / i + half) });
  }
  return {
    key, value, class: "CONVERGING", why: "The share of failures falls over its attempts: the band of its slope lies below 0.", slope: { low: -0.041, high: -0.008 },
    attempts, share,
    markers: [
      { attempt: 21, kind: "correction", text: "Gary has no roster before the 1st of the month: fill from Hammond.", seq: 3147 },
      { attempt: 34, kind: "model", text: "model qwen2.5 → qwen3", seq: 3238 },
      { attempt: 40, kind: "playbook", text: "don't: ask for Gary before the 1st", seq: 3280 },
    ],
    earlier: data === "large" ? 2210 : 0, complete: true,
  };
}

function history(data, params) {
  const window = params.get("window") ?? "1h";
  const [step_s, n] = window === "24h" ? [600, 144] : [60, 60];
  const rand = random(5);
  const first = Math.floor(Date.now() / 1000 / step_s) - n + 1;
  const points = [];
  for (let i = 0; i < n; i++) {
    const known = data !== "empty" && i >= n / 6;
    const ops = known ? Math.round(step_s * (70 + rand() * 20)) : 0;
    const bad = i > n * 0.7 ? 0.09 : 0.012;
    points.push({
      t: iso((first + i) * step_s * 1000), ops, failures: Math.round(ops * bad * (0.7 + rand() * 0.6)),
      p50_ms: known ? 210 + rand() * 20 : null, p95_ms: known ? 1500 + rand() * 200 + (i > n * 0.7 ? 4000 : 0) : null, p99_ms: known ? 2600 + rand() * 500 + (i > n * 0.7 ? 6100 : 0) : null,
    });
  }
  return { window, step_s, now: iso(Date.now()), points };
}

function changes(data) {
  const row = (s, kind, what, value, text, more = {}) => ({ time: ago(s), kind, what, value, text, cluster: null, playbook: null, seq: null, ...more });
  const all = data === "empty" ? [] : [
    row(130, "cluster_new", null, null, "New kind of failure: upstream timeout after <*> ms", { cluster: hex(11), seq: 4130 }),
    row(400, "correction", null, null, "Correction for staffing_fill: Gary has no roster before the 1st of the month", { seq: 4710 }),
    row(820, "first_seen", "version", "2.15.0", "First op of version 2.15.0", { seq: 3902 }),
    row(1500, "playbook_new", null, null, "New don't for mailer:send", { playbook: hex(31) }),
    row(2400, "cluster_regressed", null, null, "Came back: template <*> not found", { cluster: hex(14) }),
  ];
  return { changes: all, next_cursor: null, complete: true };
}

function alerts(data) {
  const row = (over) => ({
    rule: "failing", group: {}, state: "firing", severity: "page", since: ago(700), fired: ago(640), resolved: null, value: 0.14, threshold: 0.1, text: "",
    seqs: [4103, 4110, 4130], cluster: null, silenced_by: null, notified: ago(630), ...over,
  });
  const all = data === "empty" ? [] : [
    row({ group: { endpoint: "/v1/chat" }, text: "14 % of the ops of /v1/chat fail (227 of 1,630 in 5 minutes); it fires above 10 %", cluster: hex(11) }),
    row({ rule: "new-kind", severity: "warn", group: { cluster: hex(11) }, value: 41, threshold: 5, text: "a new kind of failure: upstream timeout after <*> ms", cluster: hex(11), since: ago(130), fired: ago(120), silenced_by: "s-2" }),
    row({ rule: "slow", severity: "warn", state: "pending", group: { endpoint: "/v1/extract" }, value: 3100, threshold: 3000, text: "/v1/extract takes twice as long as usual (3.1 s, usually 1.5 s)", since: ago(30), fired: null, notified: null, seqs: [] }),
    row({ rule: "silent", severity: "warn", state: "resolved", group: { source: "bot" }, value: 410, threshold: 300, text: "nothing from bot for 6 min 50 s, which usually sends every 21 s", since: ago(7900), fired: ago(7600), resolved: ago(5200), seqs: [] }),
  ];
  if (data === "large")
    for (let i = 0; i < 180; i++)
      all.push(row({ group: { endpoint: `/v1/tool/read-${i}` }, value: 0.2 + i / 1000, text: `${20 + (i % 50)} % of the ops of /v1/tool/read-${i} fail; it fires above 10 %`, since: ago(60 * i) }));
  return { alerts: all, firing: all.filter((a) => a.state === "firing").length, pending: all.filter((a) => a.state === "pending").length, held_back: data === "large" ? 37 : 0, next_cursor: null, complete: true };
}

function rules() {
  const row = (id, on, severity, text, definition, over) => ({ id, on, severity, text, definition, builtin: true, groups: 6, firing: 0, pending: 0, fired_total: 0, last_fired: null, ...over });
  return {
    file: "/etc/observer/rules.json", problem: null,
    rules: [
      row("failing", "rate", "page", "an endpoint fails far more than it did", { on: "rate", above: 0.1, clear_below: 0.05, min_ops: 30, within: "5m", by: ["endpoint"] }, { firing: 1, fired_total: 3, last_fired: ago(640) }),
      row("new-kind", "cluster", "warn", "failures of a kind that was not there before, or has come back", { on: "cluster", states: ["new", "regressed"], at_least: 5 }, { firing: 1, fired_total: 2, last_fired: ago(120) }),
      row("silent", "absence", "warn", "a source that used to be regular sends nothing", { on: "absence", by: ["source"] }, { fired_total: 1, last_fired: ago(7600) }),
      row("slow", "latency", "warn", "an endpoint takes far longer than usual", { on: "latency", by: ["endpoint"] }, { pending: 1 }),
      row("conservation", "self", "page", "received is not recorded + duplicate + rejected + in flight", { on: "self" }, { groups: 1 }),
      row("not-recording", "self", "page", "the daemon cannot record", { on: "self" }, { groups: 1 }),
    ],
  };
}

let silences = [{ id: "s-2", matchers: [{ name: "rule", value: "new-kind", glob: false }], since: ago(100), until: iso(Date.now() + 7000e3), author: "mara", comment: "known, the vendor is on it", active: true }];

function silence(method, path, body) {
  if (method === "POST") {
    const s = { id: `s-${silences.length + 3}`, since: iso(Date.now()), ...JSON.parse(String(body)) };
    s.until ??= iso(Date.now() + 2 * 3600e3);
    silences.push(s);
    return { body: s };
  }
  if (method === "DELETE") {
    silences = silences.filter((s) => !path.endsWith("/" + s.id));
    return { body: { removed: true } };
  }
  return { body: { silences, next_cursor: null, complete: true } };
}

function live(data, params) {
  const seq = data === "empty" ? 0 : 4800 + Math.floor((Date.now() - born) / 250);
  const after = params.get("after");
  const restarted = params.has("boot") && params.get("boot") !== boot;
  const ops = [];
  if (after !== null || restarted) {
    const rand = random(seq);
    for (let s = Math.max(Number(after ?? 0) + 1, seq - 199); s <= seq; s++) {
      const [endpoint, source, who, , ms] = works[s % works.length];
      const staffer = staffers[who[s % who.length]];
      const bad = endpoint === "/v1/chat" && staffer === "qwen3-coder" && s % 2 === 0;
      const duration = Math.round(ms * (0.6 + rand() * 0.8));
      ops.push({
        seq: s, received: iso(Date.now() - (seq - s) * 250), cluster: bad ? hex(11) : null,
        op: { timestamp: iso(Date.now() - (seq - s) * 250), endpoint, success: !bad, duration_ms: bad ? 8600 : duration, source, staffer_id: staffer, session_id: `s-1f-${s % 20}`, task_class: "support", ...(bad ? { error: `upstream timeout after ${8600 + (s % 90)} ms` } : {}), output_summary: bad ? "" : "answered", input_summary: `answer ticket ${s}` },
      });
    }
  }
  const window = (n) => (data === "empty" ? { ops: 0, failures: 0, p50_ms: null, p95_ms: null, p99_ms: null } : { ops: n, failures: Math.round(n * 0.06), p50_ms: 212, p95_ms: 5480, p99_ms: 8790 });
  return {
    boot, now: iso(Date.now()), version: "0.1.0", ready: true, reasons: [], seq, missed: 0, restarted,
    totals: { ops: seq, successes: Math.round(seq * 0.94), failures: seq - Math.round(seq * 0.94) },
    windows: { "1m": window(4800), "5m": window(24000), "1h": window(288000) }, last_op: seq ? iso(Date.now()) : null,
    clusters: data === "empty" ? { new: 0, ongoing: 0, regressed: 0, resolved: 0 } : { new: 1, ongoing: 3, regressed: 1, resolved: 7 },
    alerts: data === "empty" ? { pending: 0, firing: 0 } : { pending: 1, firing: 2 }, ops,
  };
}

const table = { live, history, graph, changes, timeline, trajectory, alerts, rules };

export function answers(data, method, path, params, body) {
  const name = /^\/(?:v1\/)?observer\/([a-z]+)/.exec(path)?.[1];
  if (name === "silences") return silence(method, path, body);
  if (method === "GET" && name && Object.hasOwn(table, name)) return { body: table[name](data, params) };
  return null;
}
