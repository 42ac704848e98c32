// The made-up answers: a table of patterns and what they answer with. Shapes as the daemon's.
import { answers } from './made_up.mjs';

const boot = 'b007000000000001';
let seq = 12_345;
const now = () => Date.now();
const iso = (ms) => new Date(ms).toISOString();
const hash = (n) => (n * 2654435761 % 4294967296 >>> 0).toString(16).padStart(8, '0').repeat(2);
const noise = (i) => (Math.sin(i * 12.9898) * 43758.5453) % 1;

const endpoints = ['/v1/chat', 'scenario:fill', 'mailer:send', '/v1/search', 'bot:cycle', '/v1/embed'];
const sources = ['mcp', 'scenario', 'bot', 'langfuse'];
const errors = ['upstream timed out after 30000 ms (model qwen3-coder)', 'no roster for Dayton', '550 relay denied for \u202egro.elpmaxe\u202c', null, 'connection refused', '<img src=x onerror=alert(1)>\u0000 bad token'];

function op(s) {
  const e = s % 6;
  const success = !(s % 7 === 0 && errors[e]);
  return {
    seq: s,
    received: iso(now()),
    cluster: success ? null : hash(e + 1),
    op: { timestamp: iso(now() - 20), endpoint: endpoints[e], success, duration_ms: Math.floor(40 + Math.abs(noise(s)) * 900), source: sources[s % 4], staffer_id: `agent-${s % 9}`, session_id: `s${Math.floor(s / 40)}`, sig_hash: hash(s % 50), error: success ? undefined : errors[e], output_summary: 'filled', input_summary: `task ${s}` },
  };
}

function live({ mode, query }) {
  if (mode === 'empty') return [200, { boot, now: iso(now()), version: '0.1.0', ready: true, reasons: [], seq: 0, missed: 0, restarted: false, totals: { ops: 0, successes: 0, failures: 0 }, windows: Object.fromEntries(['1m', '5m', '1h'].map((w) => [w, { ops: 0, failures: 0, p50_ms: null, p95_ms: null, p99_ms: null }])), last_op: null, clusters: { new: 0, ongoing: 0, regressed: 0, resolved: 0 }, alerts: { pending: 0, firing: 0 }, ops: [] }];
  const after = Number(query.get('after') ?? seq);
  seq += 60 + Math.floor(Math.random() * 30);
  const first = Math.max(after + 1, seq - 199);
  const ops = query.has('after') ? Array.from({ length: seq - first + 1 }, (_, i) => op(first + i)) : [];
  const w = (ops_, f) => ({ ops: ops_, failures: Math.round(ops_ * f), p50_ms: 212, p95_ms: 1840, p99_ms: 30012 });
  return [200, { boot, now: iso(now()), version: '0.1.0', ready: mode !== 'broken', reasons: mode === 'broken' ? ['the journal cannot be written: No space left on device'] : [], seq, missed: Math.max(0, first - after - 1), restarted: false, totals: { ops: seq, successes: Math.floor(seq * 0.9), failures: Math.ceil(seq * 0.1) }, windows: { '1m': w(4812, 0.093), '5m': w(23900, 0.091), '1h': w(284_113, 0.083) }, last_op: iso(mode === 'stale' ? now() - 1_260_000 : now() - 300), clusters: { new: 2, ongoing: 5, regressed: 1, resolved: 9 }, alerts: { pending: 1, firing: 1 }, ops }];
}

function history({ mode, query }) {
  const day = query.get('window') === '24h';
  const n = day ? 144 : 60;
  const step = day ? 600 : 60;
  const end = Math.floor(now() / 1000 / step) * step;
  const points = Array.from({ length: n }, (_, i) => {
    const t = end - (n - 1 - i) * step;
    if (mode === 'empty' || (i > 8 && i < 12)) return { t: iso(t * 1000), ops: 0, failures: 0, p50_ms: null, p95_ms: null, p99_ms: null };
    const ops = Math.round(step * (70 + 20 * Math.sin(t / 900) + 8 * noise(t)));
    return { t: iso(t * 1000), ops, failures: Math.round(ops * (i > n * 0.7 ? 0.12 : 0.04)), p50_ms: 200 + 30 * noise(t), p95_ms: 1500 + 300 * noise(t + 1), p99_ms: 9000 + 4000 * noise(t + 2) };
  });
  return [200, { window: day ? '24h' : '1h', step_s: step, now: iso(now()), points }];
}

function changes({ mode }) {
  if (mode === 'empty') return [200, { changes: [], next_cursor: null, complete: true }];
  const c = (min, kind, text, more = {}) => ({ time: iso(now() - min * 60_000), kind, what: null, value: null, text, cluster: null, playbook: null, seq: null, ...more });
  return [200, { changes: [
    c(2, 'cluster_new', 'A new kind of failure at mailer:send: “550 relay denied for *”.', { cluster: hash(3) }),
    c(9, 'first_seen', 'The model qwen3-coder was seen for the first time, at /v1/chat.', { what: 'model', value: 'qwen3-coder', seq: 1200 }),
    c(14, 'correction', 'A correction for fill_shift: check the roster of the next city first.', { seq: 1001 }),
    c(31, 'playbook_new', 'A new don’t for /v1/chat: do not use qwen3-coder for it.', { playbook: hash(7) }),
    c(47, 'cluster_regressed', '“connection refused” is back at bot:cycle.', { cluster: hash(5) }),
  ], next_cursor: null, complete: true }];
}

function alerts({ mode }) {
  if (mode === 'empty') return [200, { alerts: [], firing: 0, pending: 0, held_back: 0, next_cursor: null, complete: true }];
  const a = (rule, group, state, severity, min, text, more = {}) => ({ rule, group, state, severity, since: iso(now() - min * 60_000), fired: state === 'pending' ? null : iso(now() - (min - 1) * 60_000), resolved: null, value: 0.34, threshold: 0.2, text, seqs: [12000, 12010], cluster: hash(1), silenced_by: null, notified: null, ...more });
  return [200, { alerts: [
    a('failing', { endpoint: '/v1/chat' }, 'firing', 'page', 12, '34 % of the ops at /v1/chat fail, more than 20 % for 5 minutes.'),
    a('slow', { endpoint: '/v1/search' }, 'pending', 'warn', 1, '/v1/search takes 4 times as long as usual.', { cluster: null }),
  ], firing: 1, pending: 1, held_back: 0, next_cursor: null, complete: true }];
}

// The rest stands in made_up.mjs.
const made = ({ mode, url }) => {
  const { body } = answers({ empty: 'empty', many: 'large' }[mode] ?? 'demo', 'GET', url.pathname, url.searchParams);
  return [200, body];
};

export const routes = [
  [/^(?:graph|timeline|trajectory|rules|silences|alerts)$/, made],
  [/^live$/, live],
  [/^history$/, history],
  [/^changes$/, changes],
  [/^alerts$/, alerts],
];
