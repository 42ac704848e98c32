// The older observers' clients, as a program: node clients.mjs bot|scenario|monitor BASE_URL
//
// It sends what they send and reads what they read, by the same calls of the platform (fetch with a JSON body and
// AbortSignal.timeout, then r.ok, r.status, r.text), and prints what each call came to as one JSON line.

const [what, base] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

// The bot posts one event a cycle, gives it 3 s, and never throws.
async function botCycle(event) {
  try {
    const r = await fetch(`${base}/event`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(event),
      signal: AbortSignal.timeout(3000),
    });
    say(r.ok ? { ok: true, status: r.status } : { ok: false, status: r.status, text: await r.text() });
  } catch (e) {
    say({ failed: e.message });
  }
}

// Scenarios and the langfuse bridge post one outcome each; some read the answer.
async function outcome(body) {
  const r = await fetch(`${base}/event`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  say({ status: r.status, type: r.headers.get("content-type"), json: await r.json() });
}

async function read(path) {
  const r = await fetch(`${base}${path}`);
  say({ ok: r.ok, json: await r.json() });
}

const runs = {
  async bot() {
    await botCycle({ source: "bot", cycle_id: "c-1", sig_hash: "ab12", event_kind: "ok", ok: true,
                     staffer_id: "gpt-oss:120b", turns: 3, duration_ms: 5120, extra: { pr: 17, files: ["a.ts"] } });
    await botCycle({ source: "bot", cycle_id: "c-2", sig_hash: "cd34", event_kind: "tests_failed", ok: false });
    await botCycle({ source: "bot", cycle_id: "c-3", sig_hash: "ef56", event_kind: "ok", ok: true, staffer_id: undefined,
                     turns: undefined, duration_ms: 0, extra: {} });
  },
  async scenario() {
    await outcome({ event_kind: "fill", role: "welder", count: 3, city: "Toledo", state: "OH", success: true,
                    duration_ms: 812, staffer_id: "s-1", sig_hash: "h1", rescue_attempted: false });
    await outcome({ event_kind: "fill", role: "nurse", success: false, error: "no candidates", duration_ms: "1500",
                    rescue_attempted: 1, rescue_succeeded: "", staffer_id: "s-2" });
    await outcome({});
    await outcome({ source: "langfuse", endpoint: "/v1/chat", input_summary: "trace 9", success: 1,
                    output_summary: "ok", timestamp: "2026-04-23T10:00:00.000Z" });
    await outcome("{not json");
  },
  async monitor() {
    await read("/health");
    await read("/stats");
  },
};

await runs[what]();
