// What is happening right now: one line an op, the newest first. It waits while somebody points at it or has scrolled.
// What was recorded before is asked for, page by page.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import './console.css';
import { query } from '../api';
import { useData } from '../data';
import { OpFacts, OpRows, Raw } from '../parts/ops';
import { Asked, Panel, Say } from '../parts/panels';
import { Clock, Id, Ms, Text } from '../parts/values';
import { clusterLink } from '../parts/failure';
import { filters, here, route, setParams } from '../router';
import { live, link, missed, openedAt, ops, tick } from '../store';
import { clock, count, many, rate } from '../text';
import type { LiveOp, Op, Ops, RecordedOp, Summary } from '../types';

const LINES = 200;
const BEFORE = 60;
const PAGE = 100;
/** Lines a second that can be followed by eye; of more, one in N is shown. */
const READABLE = 50;
const RATE_MS = 5_000;
const TYPING_MS = 200;

/* ---- which ops ---- */

interface Wanted {
  endpoint?: string;
  source?: string;
  staffer_id?: string;
  q: string;
  failed: boolean;
}

function wanted(): Wanted {
  const { q, failed } = route.value.params;
  return { ...filters(), q: (q ?? '').toLowerCase(), failed: failed === '1' };
}

function matches(o: Op, w: Wanted): boolean {
  if ((w.failed && o.success) || (w.endpoint && o.endpoint !== w.endpoint)) return false;
  if ((w.source && o.source !== w.source) || (w.staffer_id && o.staffer_id !== w.staffer_id)) return false;
  if (!w.q) return true;
  return [o.endpoint, o.error, o.output_summary, o.input_summary, o.staffer_id, o.session_id, o.sig_hash, o.task_class].some((t) => t?.toLowerCase().includes(w.q));
}

/** 1 in how many is shown, of those that went well and of failures: failures give way last. */
function thinning(shown: LiveOp[], now: number): { good: number; bad: number } {
  const recent = shown.filter((o) => now - Date.parse(o.received) < RATE_MS);
  const bad = recent.filter((o) => !o.op.success).length / (RATE_MS / 1000);
  const good = recent.length / (RATE_MS / 1000) - bad;
  const n = (r: number, room: number): number => Math.max(1, Math.ceil(r / Math.max(1, room)));
  const ofBad = n(bad, READABLE / 2);
  return { bad: ofBad, good: n(good, READABLE - bad / ofBad) };
}

type Row = LiveOp | { seq: number; gap: number };

/** Newest first, with what the page was not given in its place. */
function rowsOf(all: LiveOp[], w: Wanted, every: { good: number; bad: number }): Row[] {
  const rows: Row[] = [];
  for (let i = all.length - 1; i >= 0 && rows.length < LINES; i--) {
    const o = all[i];
    const older = all[i - 1];
    if (!o) continue;
    if (matches(o.op, w) && o.seq % (o.op.success ? every.good : every.bad) === 0) rows.push(o);
    if (older && o.seq - older.seq > 1) rows.push({ seq: o.seq - 0.5, gap: o.seq - older.seq - 1 });
  }
  return rows;
}

/* ---- drawn ---- */

function Line({ r }: { r: LiveOp }): JSX.Element {
  const o = r.op;
  return (
    <a class={`line ${o.success ? '' : 'is-fail'}`} href={here({ seq: r.seq })} data-row="">
      <Clock t={r.received} seconds />
      <span class="outcome" aria-label={o.success ? 'went well' : 'failed'}>{o.success ? '·' : '✕'}</span>
      <span class="quiet wide"><Text s={o.source} max={24} /></span>
      <span><Text s={o.endpoint} max={60} /></span>
      <span class="quiet wide"><Text s={o.staffer_id ?? ''} max={40} /></span>
      <span class="right"><Ms v={o.duration_ms} /></span>
      <span class="said"><Text s={(o.success ? o.output_summary : o.error ?? o.output_summary) || o.input_summary} max={200} /></span>
    </a>
  );
}

function OneOp({ seq }: { seq: string }): JSX.Element {
  const data = useData<RecordedOp & { cluster?: string }>(`ops/${encodeURIComponent(seq)}`, { live: false });
  return (
    <Panel
      class="one-op"
      title={`Op ${seq}`}
      side={
        <>
          {data.value?.cluster && (
            <a href={clusterLink(data.value.cluster)}>
              its kind of failure <Id v={data.value.cluster} />
            </a>
          )}
          <a href={here({ seq: null })}>Close</a>
        </>
      }
    >
      <Asked data={data} rows={6}>
        {(r) => (
          <>
            <OpFacts op={r.op} />
            <Raw value={r.op} />
          </>
        )}
      </Asked>
    </Panel>
  );
}

function Sources(): JSX.Element {
  const summary = useData<Summary>('summary');
  const chosen = route.value.params['source'];
  const by = summary.value?.windows['1h'].by_source ?? {};
  const names = Object.keys(by).sort((a, b) => (by[b]?.total ?? 0) - (by[a]?.total ?? 0));
  if (chosen && !names.includes(chosen)) names.unshift(chosen);
  return (
    <span class="choices" role="group" aria-label="source">
      <a href={here({ source: null })} aria-current={!chosen}>
        all
      </a>
      {names.slice(0, 8).map((name) => (
        <a href={here({ source: name })} aria-current={name === chosen}>
          <Text s={name} max={24} />
        </a>
      ))}
    </span>
  );
}

function Tools({ past }: { past: boolean }): JSX.Element {
  const { q = '', failed } = route.value.params;
  const [text, setText] = useState(q);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (text === q) return;
    const timer = setTimeout(() => setParams({ q: text, cursor: null }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text, q]);
  return (
    <div class="tools">
      <span class="choices" role="group" aria-label="which ops">
        <a href={here({ past: null, cluster: null, cursor: null })} aria-current={!past}>
          Live
        </a>
        <a href={here({ past: '1', cursor: null })} aria-current={past}>
          Recorded
        </a>
      </span>
      <input type="search" data-filter="" placeholder="Filter by text   /" aria-label="filter by text" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      <label>
        <input type="checkbox" checked={failed === '1'} onChange={(e) => setParams({ failed: e.currentTarget.checked ? '1' : null, cursor: null })} />
        failures only
      </label>
      <Sources />
    </div>
  );
}

/* ---- live ---- */

/** What was recorded just before the page was opened, so that it does not begin empty. */
function useBefore(): LiveOp[] {
  const data = useData<Ops>(query('ops', { limit: BEFORE }), { live: false });
  return useMemo(
    () => (data.value?.ops ?? []).map((r) => ({ seq: r.seq, received: r.received ?? String(r.op.timestamp), cluster: null, op: r.op })).reverse(),
    [data.value],
  );
}

function Tail(): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [over, setOver] = useState(false);
  const [away, setAway] = useState(false);
  const [chosen, choose] = useState(false);
  const kept = useRef<Row[]>([]);
  const keptThrough = useRef(0);
  const before = useBefore();
  const waits = over || away || chosen;
  useEffect(() => {
    const scrolled = (): void => setAway(scrollY > 80);
    addEventListener('scroll', scrolled, { passive: true });
    return () => removeEventListener('scroll', scrolled);
  }, []);
  const w = wanted();
  const first = ops.value[0]?.seq ?? Infinity;
  const all = [...before.filter((o) => o.seq < first), ...ops.value];
  const shown = all.filter((o) => matches(o.op, w));
  const every = thinning(shown, tick.value + (live.value ? Date.parse(live.value.now) - Date.now() : 0));
  const rows = rowsOf(all, w, every);
  const key = JSON.stringify(w);
  const keyKept = useRef(key);
  if (!waits || keyKept.current !== key || kept.current.length === 0) {
    kept.current = rows;
    keptThrough.current = all[all.length - 1]?.seq ?? 0;
    keyKept.current = key;
  }
  const behind = shown.filter((o) => o.seq > keptThrough.current).length;
  const thin = [every.good > 1 ? `1 in ${every.good} of what went well` : '', every.bad > 1 ? `1 in ${every.bad} failures` : every.good > 1 ? 'all failures' : ''].filter(Boolean).join(', ');
  const minutes = Math.max(1, (tick.value - openedAt.value) / 60_000);
  return (
    <>
      <div class="tail-note" role="status">
        <span>
          {waits ? `Waiting${behind ? `; ${many(behind, 'more op')} since` : ''}.` : thin ? `More than can be read: shows ${thin}.` : 'As it comes in.'}
          {missed.value > 0 && ` ${many(missed.value, 'op')} did not fit into the answers, ${rate(missed.value / minutes)} a minute.`}
        </span>
        <button type="button" class="plain right" aria-pressed={chosen} onClick={() => choose(!chosen)}>
          {chosen ? 'Go on' : 'Wait'}
        </button>
      </div>
      <div class="tail" ref={box} onPointerEnter={(e) => e.pointerType === 'mouse' && setOver(true)} onPointerLeave={() => setOver(false)}>
        {kept.current.length === 0 && (
          <Say title={w.q || w.failed || w.source || w.endpoint || w.staffer_id ? 'None of the last ops matches.' : link.value === 'idle' ? 'Nothing has been recorded yet.' : 'Nothing has come since the page was opened.'}>
            {w.q && <a href={here({ past: '1' })}>Look in what was recorded</a>}
          </Say>
        )}
        {kept.current.map((r) =>
          'gap' in r ? (
            <div class="gap num" key={r.seq}>
              {many(r.gap, 'op')} not shown here: more than one answer holds
            </div>
          ) : (
            <Line key={r.seq} r={r} />
          ),
        )}
      </div>
    </>
  );
}

/* ---- recorded ---- */

function Recorded(): JSX.Element {
  const { q, failed, cluster, cursor } = route.value.params;
  const data = useData<Ops>(query('ops', { ...filters(), q, cluster, success: failed === '1' ? 'false' : null, limit: PAGE, cursor }), { live: false });
  return (
    <Asked data={data} rows={12} isEmpty={(v) => v.ops.length === 0 && !v.next_cursor} empty={<Say title="No recorded op matches." />}>
      {(v) => (
        <>
          {cluster && (
            <p class="tail-note">
              Of the kind of failure&nbsp;
              <a href={clusterLink(cluster)}>
                <Id v={cluster} chars={16} />
              </a>
            </p>
          )}
          <OpRows ops={v.ops} />
          <p class="pages">
            {cursor && <a href={here({ cursor: null })}>From the newest</a>}
            {v.ops.length > 0 && <span>{count(v.ops.length)} ops, back to {clock(v.ops[v.ops.length - 1]?.op.timestamp, tick.value, true)}</span>}
            {v.next_cursor && <a href={here({ cursor: v.next_cursor })}>Older</a>}
            <button type="button" class="plain" onClick={data.reload}>
              Ask again
            </button>
          </p>
        </>
      )}
    </Asked>
  );
}

export function Console(): JSX.Element {
  const { seq, cluster, past } = route.value.params;
  const recorded = !!cluster || past === '1';
  return (
    <section class="panel">
      <Tools past={recorded} />
      {seq && <OneOp key={seq} seq={seq} />}
      {recorded ? <Recorded /> : <Tail />}
    </section>
  );
}
