// Whether a task gets better over its attempts, and what made the difference.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { query } from '../api';
import { useData } from '../data';
import { Asked, Panel, Say, Truncated } from '../parts/panels';
import { Table } from '../parts/table';
import { Ago, Clock, Id, Ms, Share, Text } from '../parts/values';
import { go, here, href, route, setParams, to } from '../router';
import { ops } from '../store';
import { count, cut, many, millis, percent } from '../text';
import type { Paged } from '../types';
import { Side } from './side';
import './trajectory.css';

const LIMIT = 200;
const KEYS = [
  ['task_class', 'task class'],
  ['sig_hash', 'task'],
] as const;
type Key = (typeof KEYS)[number][0];

interface Attempt {
  attempt: number;
  seq: number;
  time: string;
  success: boolean;
  duration_ms: number;
  cluster: string | null;
  template: string | null;
  correction: number | null;
  staffer_id: string | null;
  session_id: string | null;
  endpoint: string;
  model: string | null;
}
interface SharePoint {
  attempt: number;
  failures: number;
  low: number;
  high: number;
}
interface Marker {
  attempt: number;
  kind: 'correction' | 'model' | 'playbook';
  text: string;
  seq: number | null;
}
interface Trajectory extends Paged {
  key: string;
  value: string;
  class: string | null;
  why: string;
  attempts: Attempt[];
  share: SharePoint[];
  markers: Marker[];
  earlier: number;
}

const MEANS: Record<string, string> = {
  CONVERGING: 'It gets better.',
  LOOPING: 'It fails the same way again and again.',
  ORBITING: 'It keeps failing, each time in another way.',
  PLATEAU: 'It stays as it is.',
  MIXED: 'No clear course.',
};

/* ---- which one ---- */

function Ask({ first, value = '' }: { first: Key; value?: string }): JSX.Element {
  const [key, setKey] = useState<Key>(first);
  const [text, setText] = useState(value);
  return (
    <form
      class="ask"
      onSubmit={(e) => {
        e.preventDefault();
        if (text.trim()) go(href('trajectory', [], { [key]: text.trim() }));
      }}
    >
      <select aria-label="what it is of" value={key} onChange={(e) => setKey(e.currentTarget.value as Key)}>
        {KEYS.map(([name, words]) => (
          <option value={name}>{words}</option>
        ))}
      </select>
      <input data-filter aria-label="its name" placeholder="name" value={text} onInput={(e) => setText(e.currentTarget.value)} spellcheck={false} />
      <button type="submit">Show</button>
    </form>
  );
}

interface Repeats extends Paged {
  repeats: { sig_hash: string | null; endpoint: string | null; staffer_id: string | null; failures: number; last_seen: string }[];
}
interface ClusterClasses extends Paged {
  clusters: { task_classes: Record<string, number> }[];
}

function Start(): JSX.Element {
  const repeats = useData<Repeats>(query('repeats', { limit: 100 }));
  const clusters = useData<ClusterClasses>(query('clusters', { limit: 50 }));
  const seen = ops.value;
  const classes = useMemo(() => {
    const sums = new Map<string, number>();
    for (const c of clusters.value?.clusters ?? []) for (const [name, n] of Object.entries(c.task_classes)) sums.set(name, (sums.get(name) ?? 0) + n);
    for (const o of seen) if (o.op.task_class) sums.set(o.op.task_class, sums.get(o.op.task_class) ?? 0);
    return [...sums].sort((a, b) => b[1] - a[1]).slice(0, 12);
  }, [clusters.value, seen.length > 0]);
  return (
    <div class="view-trajectory">
      <Ask first="task_class" />
      <div class="two">
        <Panel title="Task classes, by failures">
          <Asked data={clusters} isEmpty={() => classes.length === 0} empty={<p class="quiet">No op names its task class.</p>}>
            {() => (
              <ul class="starts">
                {classes.map(([name, failures]) => (
                  <li>
                    <a href={href('trajectory', [], { task_class: name })} data-row>
                      <span class="one-line">
                        <Text s={name} max={80} />
                      </span>
                      <span class={`num ${failures ? 'fail' : 'quiet'}`}>{many(failures, 'failure')}</span>
                    </a>
                  </li>
                ))}
              </ul>
            )}
          </Asked>
        </Panel>
        <Panel title="Tasks that fail again and again">
          <Asked data={repeats}>
            {(v) => !v.repeats.some((r) => r.sig_hash !== null) ? <p class="quiet">None: no sig_hash has failed three times without a success between.</p> : (
              <ul class="starts">
                {v.repeats
                  .filter((r) => r.sig_hash !== null)
                  .slice(0, 12)
                  .map((r) => (
                    <li>
                      <a href={href('trajectory', [], { sig_hash: r.sig_hash })} data-row>
                        <span class="one-line">
                          <Text s={r.sig_hash} max={40} /> <span class="quiet"><Text s={r.endpoint} max={40} /></span>
                        </span>
                        <span class="num fail">{many(r.failures, 'failure')}</span>
                      </a>
                    </li>
                  ))}
              </ul>
            )}
          </Asked>
        </Panel>
      </div>
    </div>
  );
}

/* ---- drawn ---- */

const PLOT = 150;
const CELLS = 16;
const MARKS = 18;
const FOOT = 18;
const TOP = MARKS + CELLS + 12;
const CELL_MIN = 4;
const CELL_MAX = 26;

function cellSays(a: Attempt): string {
  return `attempt ${a.attempt}: ${a.success ? 'succeeded' : (a.template ?? 'failed')}, ${millis(a.duration_ms)}${a.staffer_id ? `, ${cut(a.staffer_id, 60)}` : ''}`;
}

function Curve({ points, at, cell }: { points: SharePoint[]; at: (attempt: number) => number; cell: number }): JSX.Element {
  const y = (v: number): number => TOP + (1 - v) * PLOT;
  const x = (p: SharePoint): number => at(p.attempt) + cell / 2;
  const line = points.map((p) => `${x(p).toFixed(1)},${y(p.failures).toFixed(1)}`).join(' ');
  const over = points.map((p) => `${x(p).toFixed(1)},${y(p.high).toFixed(1)}`);
  const under = points.map((p) => `${x(p).toFixed(1)},${y(p.low).toFixed(1)}`).reverse();
  return (
    <>
      <polygon class="band" points={[...over, ...under].join(' ')} />
      <polyline class="share" points={line} />
    </>
  );
}

interface Range {
  from: number;
  to: number;
}

function Picture({ t, range, choose }: { t: Trajectory; range: Range | null; choose: (r: Range | null) => void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(0);
  const [drag, setDrag] = useState<Range | null>(null);
  useEffect(() => {
    const pane = box.current;
    if (!pane) return;
    const watch = new ResizeObserver(() => setRoom(pane.clientWidth));
    watch.observe(pane);
    setRoom(pane.clientWidth);
    return () => watch.disconnect();
  }, []);
  const n = t.attempts.length;
  const first = t.attempts[0]?.attempt ?? 1;
  const cell = Math.min(CELL_MAX, Math.max(CELL_MIN, room / Math.max(1, n)));
  const width = cell * n;
  const at = (attempt: number): number => (attempt - first) * cell;
  useEffect(() => {
    if (box.current) box.current.scrollLeft = width; // the newest attempts are on the right
  }, [width > room, t.value]);
  const attemptAt = (e: PointerEvent): number => {
    const left = (e.currentTarget as Element).getBoundingClientRect().left;
    return first + Math.min(n - 1, Math.max(0, Math.floor((e.clientX - left) / cell)));
  };
  const shown = drag ?? range;
  const sorted = shown && { from: Math.min(shown.from, shown.to), to: Math.max(shown.from, shown.to) };
  const height = TOP + PLOT + FOOT;
  const every = Math.max(1, Math.ceil(64 / cell / 5) * 5);
  return (
    <div class="trajectory-picture">
      <svg class="trajectory-axis" width="40" height={height} aria-hidden="true">
        {[0, 0.5, 1].map((v) => (
          <text x="34" y={TOP + (1 - v) * PLOT + 4} text-anchor="end">
            {v * 100} %
          </text>
        ))}
      </svg>
      <div class="trajectory-pane" ref={box} tabIndex={0} role="region" aria-label="outcomes and the share of failures, by attempt">
        {room > 0 && (
          <svg
            width={Math.max(width, 1)}
            height={height}
            role="img"
            aria-label={`${many(n, 'attempt')}, ${many(t.attempts.filter((a) => !a.success).length, 'failure')}; the table says the same`}
            onPointerDown={(e) => {
              if (e.button !== 0) return;
              (e.currentTarget as Element).setPointerCapture(e.pointerId);
              setDrag({ from: attemptAt(e), to: attemptAt(e) });
            }}
            onPointerMove={(e) => drag && setDrag({ from: drag.from, to: attemptAt(e) })}
            onPointerUp={() => {
              if (sorted) choose(sorted);
              setDrag(null);
            }}
            onPointerCancel={() => setDrag(null)}
          >
            {[0, 0.5, 1].map((v) => (
              <line class="grid" x1="0" x2={width} y1={TOP + (1 - v) * PLOT} y2={TOP + (1 - v) * PLOT} />
            ))}
            {sorted && <rect class="brush" x={at(sorted.from)} y={MARKS - 2} width={(sorted.to - sorted.from + 1) * cell} height={height - MARKS - FOOT + 2} />}
            {t.attempts.map((a) => (
              <rect key={a.seq} class={a.success ? 'cell' : 'cell is-fail'} x={at(a.attempt)} y={MARKS} width={Math.max(2, cell - 1)} height={CELLS} rx={cell > 8 ? 2 : 0}>
                <title>{cellSays(a)}</title>
              </rect>
            ))}
            <Curve points={t.share} at={at} cell={cell} />
            {t.markers.map((m) => (
              <g class="marker">
                <title>{`attempt ${m.attempt}: ${m.kind}: ${cut(m.text, 200)}`}</title>
                <line x1={at(m.attempt)} x2={at(m.attempt)} y1={8} y2={TOP + PLOT} />
                <path d={`M${at(m.attempt)} 2l5 5l-5 5l-5 -5z`} />
              </g>
            ))}
            {t.attempts
              .filter((a) => a.attempt % every === 0 || a.attempt === 1)
              .map((a) => (
                <text class="tick" x={at(a.attempt) + cell / 2} y={height - 4} text-anchor={a.attempt === first ? 'start' : 'middle'}>
                  {count(a.attempt)}
                </text>
              ))}
          </svg>
        )}
      </div>
    </div>
  );
}

/* ---- why ---- */

interface Group {
  value: string;
  ops: number;
  failures: number;
}

/** The values of a member with how they fared, the worst first. */
function groups(attempts: Attempt[], of: (a: Attempt) => string | null): Group[] {
  const found = new Map<string, Group>();
  for (const a of attempts) {
    const value = of(a);
    if (value === null) continue;
    const g = found.get(value) ?? { value, ops: 0, failures: 0 };
    g.ops += 1;
    if (!a.success) g.failures += 1;
    found.set(value, g);
  }
  return [...found.values()].sort((a, b) => b.failures - a.failures || b.ops - a.ops).slice(0, 6);
}

const failedOf = (list: Attempt[]): number => list.filter((a) => !a.success).length;

function One({ a }: { a: Attempt }): JSX.Element {
  return (
    <>
      <p class={a.success ? '' : 'fail'}>{a.success ? 'It succeeded.' : a.template ? <Text s={a.template} /> : 'It failed.'}</p>
      <dl class="pairs">
        <div><dt>when</dt><dd><Clock t={a.time} seconds /></dd></div>
        <div><dt>took</dt><dd><Ms v={a.duration_ms} /></dd></div>
        <div><dt>endpoint</dt><dd><Text s={a.endpoint} max={80} /></dd></div>
        {a.staffer_id && <div><dt>agent</dt><dd><Text s={a.staffer_id} max={60} /></dd></div>}
        {a.model && <div><dt>model</dt><dd><Text s={a.model} max={60} /></dd></div>}
        {a.cluster && <div><dt>failure kind</dt><dd><a href={to('failures', [a.cluster])}><Id v={a.cluster} chars={8} /></a></dd></div>}
      </dl>
      <p class="actions">
        <a class="button" href={href('console', [], { seq: a.seq })}>Journal row {a.seq}</a>
        {a.session_id && <a class="button" href={href('trace', [], { session_id: a.session_id })}>Its session</a>}
      </p>
    </>
  );
}

const COMPARED: readonly (readonly [string, (a: Attempt) => string | null])[] = [
  ['Agents', (a) => a.staffer_id],
  ['Models', (a) => a.model],
  ['Endpoints', (a) => a.endpoint],
];

function Why({ t, range }: { t: Trajectory; range: Range }): JSX.Element {
  const inside = t.attempts.filter((a) => a.attempt >= range.from && a.attempt <= range.to);
  const outside = t.attempts.filter((a) => a.attempt < range.from || a.attempt > range.to);
  const one = inside.length === 1 ? inside[0] : undefined;
  const kinds = new Map<string, { id: string; text: string; n: number }>();
  for (const a of inside) {
    if (a.success) continue;
    const id = a.cluster ?? '';
    const k = kinds.get(id) ?? { id, text: a.template ?? 'failures without a text', n: 0 };
    k.n += 1;
    kinds.set(id, k);
  }
  const marked = t.markers.filter((m) => m.attempt >= range.from && m.attempt <= range.to);
  const close = here({ from: null, to: null });
  if (one)
    return (
      <Side title={`Attempt ${count(one.attempt)}`} close={close}>
        <One a={one} />
      </Side>
    );
  return (
    <Side title={`Attempts ${count(range.from)} to ${count(range.to)}`} close={close}>
      <dl class="pairs">
        <div><dt>failed here</dt><dd><Share v={inside.length ? failedOf(inside) / inside.length : null} /> <span class="quiet num">{failedOf(inside)} of {inside.length}</span></dd></div>
        <div><dt>elsewhere</dt><dd><Share v={outside.length ? failedOf(outside) / outside.length : null} /> <span class="quiet num">{failedOf(outside)} of {outside.length}</span></dd></div>
      </dl>
      {kinds.size > 0 && <h3>How they failed</h3>}
      <ul class="last-ops">
        {[...kinds.values()]
          .sort((a, b) => b.n - a.n)
          .slice(0, 6)
          .map((k) => (
            <li>
              {k.id ? <a href={to('failures', [k.id])}><Text s={k.text} max={90} /></a> : <span>{k.text}</span>}
              <span class="quiet num">{many(k.n, 'failure')}</span>
            </li>
          ))}
      </ul>
      {marked.length > 0 && <h3>What happened then</h3>}
      <Markers list={marked} />
      {COMPARED.map(([title, of]) => {
        const list = groups(inside, of);
        return list.length > 1 ? (
          <>
            <h3>{title}</h3>
            <dl class="pairs">
              {list.map((g) => (
                <div>
                  <dt><Text s={g.value} max={40} /></dt>
                  <dd><Share v={g.failures / g.ops} /> <span class="quiet num">of {g.ops}</span></dd>
                </div>
              ))}
            </dl>
          </>
        ) : null;
      })}
    </Side>
  );
}

function Markers({ list }: { list: Marker[] }): JSX.Element {
  return (
    <ul class="plain-list markers">
      {list.map((m) => (
        <li>
          <span class="change">◆ {m.kind}</span> <span class="quiet num">before attempt {count(m.attempt)}</span>{' '}
          {m.seq !== null ? <a href={href('console', [], { seq: m.seq })}><Text s={m.text} max={200} /></a> : <Text s={m.text} max={200} />}
        </li>
      ))}
    </ul>
  );
}

/* ---- all of it ---- */

function Attempts({ t }: { t: Trajectory }): JSX.Element {
  return (
    <Table
      label="attempts, the newest first"
      rows={[...t.attempts].reverse()}
      id={(a) => a.seq}
      link={(a) => here({ from: a.attempt, to: a.attempt })}
      columns={[
        { head: 'attempt', right: true, cell: (a) => <span class="num">{count(a.attempt)}</span> },
        { head: 'when', cell: (a) => <Ago t={a.time} ago /> },
        { head: 'outcome', cell: (a) => <span class={a.success ? '' : 'fail'}>{a.success ? 'succeeded' : 'failed'}</span> },
        { head: 'how', class: 'grow', cell: (a) => (a.success ? null : <span class="one-line"><Text s={a.template} max={120} /></span>) },
        { head: 'agent', class: 'mid', cell: (a) => <Text s={a.staffer_id} max={30} /> },
        { head: 'model', class: 'wide', cell: (a) => <Text s={a.model} max={30} /> },
        { head: 'took', right: true, cell: (a) => <Ms v={a.duration_ms} /> },
      ]}
    />
  );
}

function OneTrajectory({ of, value }: { of: Key; value: string }): JSX.Element {
  const { params } = route.value;
  // What was chosen does not move away while it is looked at.
  const data = useData<Trajectory>(query('trajectory', { [of]: value, limit: LIMIT }), { live: params.from === undefined });
  const asTable = params.table === 'true';
  const [from, until] = [Number(params.from), Number(params.to)];
  const range = params.from !== undefined && Number.isFinite(from) && Number.isFinite(until) ? { from, to: until } : null;
  return (
    <div class="view-trajectory">
      <div class="toolbar">
        <Ask key={value} first={of} value={value} />
        <span class="spring" />
        <a class="plain" href={here({ table: asTable ? null : true })}>
          {asTable ? 'as chart' : 'as table'}
        </a>
      </div>
      <Asked data={data} rows={8} isEmpty={(v) => v.attempts.length === 0} empty={<Say title="No attempt of it is kept." />}>
        {(t) => {
          const failed = failedOf(t.attempts);
          return (
            <div class={range ? 'with-side' : ''}>
              <div class="trajectory-main">
                <p class="verdict">
                  <b>{t.class ?? 'Too few attempts'}</b> {t.class && MEANS[t.class]}
                </p>
                <p class="quiet trajectory-why">
                  <Text s={t.why} max={400} />
                </p>
                <p class="in-short">
                  <span class="num">{many(t.attempts.length, 'attempt')}</span>
                  <span class={`num ${failed ? 'fail' : ''}`}>
                    {many(failed, 'failure')}, {percent(failed / t.attempts.length)}
                  </span>
                  {t.earlier > 0 && <span class="quiet num">{count(t.earlier)} earlier</span>}
                </p>
                {asTable ? (
                  <Attempts t={t} />
                ) : (
                  <>
                    <Picture t={t} range={range} choose={(r) => setParams({ from: r?.from, to: r?.to })} />
                    <p class="note quiet">A cell is an attempt, red where it failed. The line is the share of failures so far; the band holds it at every attempt with 95 %. Drag over attempts to see what they share.</p>
                  </>
                )}
                {t.markers.length > 0 && (
                  <Panel title="What changed on the way">
                    <Markers list={t.markers} />
                  </Panel>
                )}
                {t.earlier > 0 && <Truncated shown={t.attempts.length} total={t.attempts.length + t.earlier} hint="the newest" />}
              </div>
              {range && <Why t={t} range={range} />}
            </div>
          );
        }}
      </Asked>
    </div>
  );
}

export function TrajectoryView(): JSX.Element {
  const { params } = route.value;
  const key = KEYS.find(([k]) => params[k] !== undefined)?.[0];
  return key ? <OneTrajectory key={`${key}\t${params[key]}`} of={key} value={params[key] ?? ''} /> : <Start />;
}
