// What the page makes of the daemon's answers before it draws them: numbers in words, hostile text, addresses, the sentence.
// scripts/plane.sh runs it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { build } from '../../src/plane/node_modules/esbuild/lib/main.js';

const source = new URL('../../src/plane/src/', import.meta.url).pathname;
const out = mkdtempSync(join(tmpdir(), 'observer-plane-'));
after(() => rmSync(out, { recursive: true }));
// The router listens to the window's address.
globalThis.location = { hash: '#/failures/a1?source=bot&q=a%20b' };
globalThis.addEventListener = () => {};
await build({
  entryPoints: ['text', 'sentence', 'router', 'views/compare_align'].map((name) => join(source, `${name}.ts`)),
  bundle: true,
  format: 'esm',
  outdir: out,
  outExtension: { '.js': '.mjs' },
  logLevel: 'error',
  nodePaths: [join(source, '../node_modules')],
});
const text = await import(join(out, 'text.mjs'));
const { failing, verdict } = await import(join(out, 'sentence.mjs'));
const { align, parting } = await import(join(out, 'views/compare_align.mjs'));
const router = await import(join(out, 'router.mjs'));

test('numbers', () => {
  const rows = [
    [text.count, [[0, '0'], [12_431, '12,431'], [99_999, '99,999'], [284_113, '284 k'], [999_600, '1.00 M'], [1_234_567, '1.23 M'], [null, '–'], [NaN, '–']]],
    [text.rate, [[0, '0'], [0.02, '0.02'], [0.5, '0.5'], [80, '80'], [12_345, '12,345']]],
    [text.percent, [[0, '0 %'], [1, '100 %'], [0.0004, '< 0.1 %'], [0.9999, '> 99.9 %'], [0.012, '1.2 %'], [0.34, '34 %'], [0.995, '99.5 %'], [null, '–']]],
    [text.millis, [[0, '0 ms'], [0.4, '< 1 ms'], [12, '12 ms'], [999.6, '1.00 s'], [1_840, '1.84 s'], [30_012, '30.0 s'], [100_000, '100 s'], [125_000, '2 min 5 s']]],
    [text.span, [[59_999, '59 s'], [60_000, '1 min'], [90_000, '1 min 30 s'], [3_600_000, '1 h'], [11_580_000, '3 h 13 min'], [90_000_000, '1 d 1 h']]],
    [text.bytes, [[0, '0 B'], [1023, '1023 B'], [1024, '1.00 KiB'], [8_954_000, '8.54 MiB']]],
  ];
  for (const [format, cases] of rows) for (const [value, want] of cases) assert.equal(format(value), want, `${format.name}(${value})`);
  assert.equal(text.many(1, 'op'), '1 op');
  assert.equal(text.many(2_000, 'op'), '2,000 ops');
  assert.equal(text.age('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:21:59Z')), '21 min');
  assert.equal(text.age('2026-01-01T00:00:05Z', Date.parse('2026-01-01T00:00:00Z')), '0 s', 'a clock that is ahead');
});

test('what is not to be seen is named, and nothing else is changed', () => {
  const plain = 'Grüße, 日本語, العربية, 👩 emoji – “quotes” <img src=x onerror=alert(1)> &amp;';
  assert.deepEqual(text.visible(plain), [{ text: plain }]);
  assert.deepEqual(text.visible(''), []);
  const codes = (s) => text.visible(s).filter((p) => p.code).map((p) => p.code);
  assert.deepEqual(codes('a\u202eb\u2066c\u0000d\u001b[31m\u200be\ufefff\u00adg\u{e0041}h\ud800i\ue000'), [
    'U+202E', 'U+2066', 'U+0000', 'U+001B', 'U+200B', 'U+FEFF', 'U+00AD', 'U+E0041', 'U+D800', 'U+E000',
  ]);
  assert.equal(text.visible('a\u202eb').map((p) => p.text).join(''), 'aU+202Eb');
  for (let c = 0; c < 0x3000; c++) {
    const shown = text.visible(String.fromCodePoint(c)).map((p) => p.text).join('');
    assert.ok(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(shown), `U+${c.toString(16)} is not to be seen`);
  }
  assert.equal(text.cut('abcdef', 4), 'abcd…');
  assert.equal(text.cut('abc👩def', 4), 'abc…', 'never half a character');
});

test('addresses', () => {
  assert.deepEqual(router.route.value, { view: 'failures', parts: ['a1'], params: { source: 'bot', q: 'a b' } });
  assert.deepEqual(router.parse(''), { view: 'overview', parts: [], params: {} });
  assert.deepEqual(router.parse('#/trace?session_id=a%2Fb%3Fc%26d'), { view: 'trace', parts: [], params: { session_id: 'a/b?c&d' } });
  assert.equal(router.href('trace', [], { session_id: 'a/b?c&d', no: null, empty: '' }), '#/trace?session_id=a%2Fb%3Fc%26d');
  assert.equal(router.to('map'), '#/map?source=bot', 'filters go along, the rest stays');
  assert.equal(router.here({ q: null, sort: 'count' }), '#/failures/a1?source=bot&sort=count');
  assert.deepEqual(router.parse('#/x/%zz').parts, ['%zz'], 'what cannot be decoded stays as it is');
});

/* ---- the sentence ---- */

const tally = (total, failures) => ({ total, failures, successes: total - failures, duration_ms: {} });
/** By endpoint: [ops, failures] of the last five minutes, of the last hour with these, and of the last minute (as of the five). */
function summary(endpoints) {
  const window = (at) => ({ by_endpoint: Object.fromEntries(Object.entries(endpoints).map(([name, v]) => [name, tally(...(v[at] ?? v[0]))])) });
  return { windows: { '1m': window(2), '5m': window(0), '1h': window(1) } };
}
const live = (more = {}) => ({
  ready: true, reasons: [], totals: { ops: 9, failures: 0 }, seq: 9, last_op: '2026-01-01T00:00:00Z',
  windows: { '1m': { ops: 100, failures: 1 }, '5m': { ops: 1000, failures: 4 }, '1h': { ops: 9000, failures: 30 } }, ...more,
});
const cluster = (id, endpoint, more = {}) => ({
  id, state: 'ongoing', endpoints: { [endpoint]: 9 }, last_minute: 3, last_hour: 9, first_seen: '2026-01-01T12:04:00Z', regressed_at: null, template: id, ...more,
});

test('it does not say what it does not know', () => {
  assert.equal(verdict(null, false, null, null).kind, 'unknown');
  assert.equal(verdict(live(), false, null, []).kind, 'unknown');
  assert.equal(verdict(live({ totals: { ops: 0, failures: 0 } }), false, null, null).kind, 'empty');
  assert.equal(verdict(live(), true, summary({}), []).kind, 'stale');
  assert.deepEqual(verdict(live({ ready: false, reasons: ['disk full'] }), true, null, null), { kind: 'stopped', reason: 'disk full' });
});

test('all is well', () => {
  const v = verdict(live(), false, summary({ '/a': [[1000, 4], [9000, 30]] }), [cluster('c', '/a')]);
  assert.deepEqual(v, { kind: 'well', ops: 1000, failures: 4, minutes: 5 });
  assert.equal(verdict(live({ windows: { '5m': { ops: 3, failures: 0 }, '1h': { ops: 400, failures: 0 } } }), false, summary({}), []).minutes, 60);
});

test('more than before is told from what always fails, and from chance', () => {
  const s = summary({ '/always': [[400, 120], [4800, 1440]], '/more': [[400, 136], [4800, 160]], '/chance': [[20, 2], [240, 10]], '/few': [[4, 4], [4, 4]] });
  const found = failing(s);
  assert.deepEqual(found.map((f) => [f.endpoint, f.more]), [['/more', true], ['/always', false], ['/chance', false]]);
  const v = verdict(live(), false, s, [cluster('aaaa', '/always'), cluster('a1b2', '/more')]);
  assert.equal(v.kind, 'failing');
  assert.deepEqual([v.endpoints, v.more, v.worst.endpoint, v.worst.share, v.cluster.id, v.since], [1, true, '/more', 0.34, 'a1b2', '2026-01-01T12:04:00Z']);
});

test('what has stopped failing fails no more, though its five minutes still say so', () => {
  const s = summary({ '/over': [[400, 100], [4800, 100], [100, 1]], '/still': [[400, 100], [4800, 1440], [100, 20]], '/rare': [[40, 20], [480, 240], [5, 0]] });
  assert.deepEqual(failing(s).map((f) => f.endpoint), ['/still', '/rare']);
});

test('in its first minutes the last minute is compared with those before it', () => {
  const s = summary({ '/begins': [[400, 30], [400, 30], [100, 29]], '/always': [[400, 120], [400, 120], [100, 32]], '/rarely': [[590, 20], [590, 20], [190, 12]] });
  assert.deepEqual(failing(s).map((f) => [f.endpoint, f.more]), [['/begins', true], ['/always', false], ['/rarely', false]]);
});

test('two runs beside each other: what is paired, where they part', () => {
  const op = (seq, endpoint, more = {}) => ({ kind: 'op', seq, endpoint, event_kind: null, success: true, duration_ms: 100, cluster: null, ...more });
  const said = (left, right) => align(left, right).map((p) => [p.left?.seq ?? 0, p.right?.seq ?? 0, p.differences.map((d) => d.words).join()].join(' ').trim());
  const left = [op(1, '/a'), op(2, '/b'), op(3, '/c')];
  assert.deepEqual(said(left, [op(11, '/a'), op(12, '/b'), op(13, '/c')]), ['1 11', '2 12', '3 13']);
  assert.deepEqual(said(left, [op(11, '/a'), op(12, '/x'), op(13, '/c')]), ['1 11', '2 0 only left', '0 12 only right', '3 13']);
  assert.deepEqual(said(left, []), ['1 0 only left', '2 0 only left', '3 0 only left']);
  const failed = [op(11, '/a', { duration_ms: 250 }), op(12, '/b', { success: false }), op(13, '/b'), op(14, '/c')];
  assert.deepEqual(said(left, failed), ['1 11 2.5× as long', '0 12 only right', '2 13', '3 14']); // rather beside its like
  assert.deepEqual(said(left.slice(0, 2), failed.slice(0, 2)), ['1 11 2.5× as long', '2 12 fails right']);
  assert.deepEqual(parting(align(left.slice(0, 2), failed.slice(0, 2))[1]), { step: '/b', words: 'succeeds on the left in 100 ms and fails on the right after 100 ms' });
  const run = { ...op(0, '/a'), kind: 'run', first_seq: 21, last_seq: 29, count: 9, duration_ms: 900 };
  assert.deepEqual(said([op(1, '/a')], [run]), ['1 0 ×1, ×9']);
  const idle = (after_seq, duration_ms) => ({ kind: 'idle', after_seq, duration_ms });
  assert.deepEqual(align([idle(1, 60_000)], [idle(9, 20_000)])[0].differences, [{ kind: 'time', words: '3.0× as long' }]);
});

test('the worst is what costs most', () => {
  const s = summary({ '/many': [[400, 90], [400, 90]], '/dear': [[400, 40], [400, 40]] });
  const order = [cluster('old', '/many', { state: 'resolved' }), cluster('dear', '/dear'), cluster('many', '/many')]; // by impact
  const v = verdict(live(), false, s, order);
  assert.deepEqual([v.endpoints, v.more, v.worst.endpoint, v.cluster.id], [2, false, '/dear', 'dear']);
  const back = verdict(live(), false, s, [cluster('dear', '/dear', { state: 'regressed', regressed_at: '2026-01-01T13:00:00Z' })]);
  assert.equal(back.since, '2026-01-01T13:00:00Z');
  const unknown = verdict(live(), false, s, []);
  assert.deepEqual([unknown.worst.endpoint, unknown.cluster, unknown.since], ['/many', null, null]);
});

test('what is new is said where little fails', () => {
  const s = summary({ '/a': [[1000, 4], [9000, 30]] });
  const v = verdict(live(), false, s, [cluster('n', '/a', { state: 'new' }), cluster('o', '/a'), cluster('r', '/a', { state: 'regressed' })]);
  assert.deepEqual([v.kind, v.cluster.id, v.others], ['changed', 'n', 1]);
});
