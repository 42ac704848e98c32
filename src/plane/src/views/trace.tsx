// What happened in one run, in order, and where it went wrong: of a session, a cycle, an agent or a task.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { query } from '../api';
import { useData } from '../data';
import { Asked, Panel, Say } from '../parts/panels';
import { Clock, Id, Ms, Num, Text } from '../parts/values';
import { go, here, href, route, setParams, to } from '../router';
import { now, ops } from '../store';
import { clock, count, cut, many, millis, span } from '../text';
import type { Op, Paged } from '../types';
import { Compare, CompareWith } from './compare';
import { type Run, Runs, newRun, tally } from './runs';
import { Choice, Side, chosen } from './side';
import { type Drawing, type OpRow, type Placed, type Row, type RunRow, type Timeline, LANE, draw, isWork, middle, rowId, seqOf } from './trace_layout';
import './trace.css';

const LIMIT = 200;
const KEYS = [
  ['session_id', 'session'],
  ['cycle_id', 'cycle'],
  ['staffer_id', 'agent'],
  ['sig_hash', 'task'],
] as const;
type Key = (typeof KEYS)[number][0];

/** Minutes. An agent's run has no beginning, so what is shown of it first is its last quarter of an hour. */
const BACK = [
  ['15', '15 min'],
  ['60', '1 h'],
  ['1440', '24 h'],
  ['all', 'all'],
] as const;

/* ---- which one ---- */

interface Recent extends Run {
  key: Key;
}

interface OpsAnswer extends Paged {
  ops: { seq: number; op: Op }[];
}

/** Runs among the last ops, those with failures first. */
function recent(list: Op[]): Recent[] {
  const found = new Map<string, Recent>();
  for (const op of list) {
    const key: Key | null = op.session_id ? 'session_id' : op.cycle_id ? 'cycle_id' : op.staffer_id ? 'staffer_id' : null;
    if (!key) continue;
    const value = op[key] ?? '';
    const at = `${key}\t${value}`;
    const r = found.get(at) ?? { ...newRun(value, op), key };
    tally(r, op);
    found.set(at, r);
  }
  return [...found.values()].sort((a, b) => b.failures - a.failures || (a.last < b.last ? 1 : -1)).slice(0, 12);
}

function Ask({ first, value = '' }: { first: Key; value?: string }): JSX.Element {
  const [key, setKey] = useState<Key>(first);
  const [text, setText] = useState(value);
  useEffect(() => {
    setKey(first);
    setText(value);
  }, [first, value]);
  return (
    <form
      class="ask"
      onSubmit={(e) => {
        e.preventDefault();
        if (text.trim()) go(href('trace', [], { [key]: text.trim() }));
      }}
    >
      <select aria-label="what it is of" value={key} onChange={(e) => setKey(e.currentTarget.value as Key)}>
        {KEYS.map(([name, words]) => (
          <option value={name}>{words}</option>
        ))}
      </select>
      <input data-filter aria-label="its id" placeholder="id" value={text} onInput={(e) => setText(e.currentTarget.value)} spellcheck={false} />
      <button type="submit">Show</button>
    </form>
  );
}

function Start(): JSX.Element {
  const failed = useData<OpsAnswer>(query('ops', { success: 'false', limit: 100 }));
  const seen = ops.value;
  const list = useMemo(() => recent([...(failed.value?.ops.map((o) => o.op) ?? []), ...seen.filter((o) => o.op.success).map((o) => o.op)]), [failed.value, seen.length > 0]);
  return (
    <div class="view-trace">
      <Ask first="session_id" />
      <Panel title="Runs that failed lately">
        <Asked data={failed} rows={8} isEmpty={() => list.length === 0} empty={<Say title="No failed op names its session, cycle or agent." />}>
          {() => <Runs list={list} lead={(r) => <span class="quiet">{KEYS.find(([k]) => k === r.key)?.[1]}</span>} link={(r) => href('trace', [], { [r.key]: r.value })} />}
        </Asked>
      </Panel>
    </div>
  );
}

/* ---- drawn ---- */

function says(r: Row): string {
  if (r.kind === 'idle') return `idle ${span(r.duration_ms)}`;
  if (r.kind === 'correction') return 'correction';
  if (r.kind === 'change') return 'change';
  const what = `${r.endpoint}, ${millis(r.duration_ms)}, ${r.success ? 'succeeded' : 'failed'}`;
  return r.kind === 'run' ? `${count(r.count)} identical: ${what}` : what;
}

interface BarProps {
  drawing: Drawing;
  placed: Placed;
  selected: boolean;
}

function BarOf({ drawing, placed: p, selected }: BarProps): JSX.Element {
  const row = p.row as OpRow | RunRow;
  const y = middle(drawing, p);
  const height = row.kind === 'run' ? 14 : 10;
  const w = Math.max(2, p.x1 - p.x0 - 1);
  const label = row.kind === 'run' ? `×${count(row.count)}` : '';
  return (
    <g class={`trace-bar ${row.success ? '' : 'is-fail'} ${selected ? 'is-chosen' : ''}`} data-id={rowId(row)}>
      <title>{says(row)}</title>
      <rect class="hit" x={p.x0 - 2} y={y - 11} width={w + 4} height="22" />
      <rect x={p.x0} y={y - height / 2} width={w} height={height} rx="2" />
      {label && w > label.length * 7 && (
        <text x={p.x0 + w / 2} y={y + 4} text-anchor="middle">
          {label}
        </text>
      )}
    </g>
  );
}

function Arcs({ drawing }: { drawing: Drawing }): JSX.Element {
  const by = new Map(drawing.placed.filter((p) => isWork(p.row)).map((p) => [p.row.kind === 'run' ? p.row.last_seq : seqOf(p.row), p]));
  return (
    <>
      {drawing.placed.map((p) => {
        if (p.row.kind !== 'op' || p.row.retry_of === null) return null;
        const before = by.get(p.row.retry_of);
        if (!before) return null;
        const [x0, y0, x1, y1] = [before.x1 - 1, middle(drawing, before), p.x0, middle(drawing, p)];
        const lift = Math.min(y0, y1) - 11;
        return (
          <path class="arc" d={`M${x0} ${y0 - 5}C${x0} ${lift - 4} ${x1} ${lift - 4} ${x1} ${y1 - 5}`}>
            <title>tried again</title>
          </path>
        );
      })}
    </>
  );
}

function Marks({ drawing, selected }: { drawing: Drawing; selected: string | null }): JSX.Element {
  return (
    <>
      {drawing.placed.map((p) => {
        const r = p.row;
        const chosen = rowId(r) === selected ? 'is-chosen' : '';
        if (r.kind === 'idle')
          return (
            <g class={`idle ${chosen}`} data-id={rowId(r)}>
              <title>{says(r)}</title>
              <rect x={p.x0} y={0} width={p.x1 - p.x0} height={drawing.height} />
              <text x={(p.x0 + p.x1) / 2} y={drawing.height / 2 - 2} text-anchor="middle">
                idle
              </text>
              <text x={(p.x0 + p.x1) / 2} y={drawing.height / 2 + 12} text-anchor="middle">
                {span(r.duration_ms)}
              </text>
            </g>
          );
        if (r.kind === 'correction' || r.kind === 'change')
          return (
            <g class={`moment ${chosen}`} data-id={rowId(r)}>
              <title>{r.kind === 'correction' ? `correction: ${cut(r.text ?? '', 200)}` : says(r)}</title>
              <line x1={p.x0} x2={p.x0} y1={4} y2={drawing.height} />
              <path d={`M${p.x0} -7l6 6l-6 6l-6 -6z`} />
            </g>
          );
        return null;
      })}
    </>
  );
}

const HEAD = 14;
const FOOT = 20;

function Lanes({ rows, selected, choose }: { rows: Row[]; selected: string | null; choose: (id: string) => void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(0);
  useEffect(() => {
    const at = box.current;
    if (!at) return;
    const watch = new ResizeObserver(() => setRoom(at.clientWidth));
    watch.observe(at);
    setRoom(at.clientWidth);
    return () => watch.disconnect();
  }, []);
  const drawing = useMemo(() => draw(rows, Math.max(200, room - 16)), [rows, room]);
  const at = drawing.placed.find((p) => rowId(p.row) === selected);
  useEffect(() => {
    const pane = box.current;
    if (!pane || !at) return;
    const x = at.x0 + 8;
    if (x < pane.scrollLeft + 24 || x > pane.scrollLeft + pane.clientWidth - 48) pane.scrollLeft = x - pane.clientWidth / 3;
  }, [selected, room]);
  const height = HEAD + drawing.height + FOOT;
  return (
    <div class="lanes">
      <div class="lane-names" style={{ paddingTop: `${HEAD}px` }}>
        {drawing.lanes.map((l) => (
          <div style={{ height: `${LANE + (l.tracks - 1) * 12}px` }}>{l.name === null ? <span class="none">(none)</span> : <Text s={l.name} max={40} />}</div>
        ))}
      </div>
      <div class="lane-pane" ref={box} tabIndex={0} role="region" aria-label="the run over time; j and k walk through it">
        {room > 0 && (
          <svg
            width={Math.ceil(drawing.width) + 16}
            height={height}
            role="img"
            aria-label={`${many(rows.length, 'step')} in ${many(drawing.lanes.length, 'lane')}; the list below says the same`}
            onClick={(e) => {
              const id = (e.target as Element).closest('[data-id]')?.getAttribute('data-id');
              if (id) choose(id);
            }}
          >
            <g transform={`translate(8 ${HEAD})`}>
              {drawing.lanes.map((l) => (
                <line class="lane-line" x1="0" x2={drawing.width} y1={l.y + LANE / 2} y2={l.y + LANE / 2} />
              ))}
              <Marks drawing={drawing} selected={selected} />
              <Arcs drawing={drawing} />
              {drawing.placed.map((p) => (isWork(p.row) ? <BarOf key={rowId(p.row)} drawing={drawing} placed={p} selected={rowId(p.row) === selected} /> : null))}
              {drawing.ticks.map((t) => (
                <text class="tick" x={Math.min(t.x, drawing.width - 50)} y={drawing.height + 14}>
                  {clock(t.time, now.peek(), true)}
                </text>
              ))}
            </g>
          </svg>
        )}
      </div>
    </div>
  );
}

/* ---- as a list ---- */

function Step({ row, selected, choose }: { row: Row; selected: boolean; choose: (id: string) => void }): JSX.Element {
  const box = useRef<HTMLLIElement>(null);
  const id = rowId(row);
  useEffect(() => {
    if (selected) box.current?.scrollIntoView({ block: 'nearest' });
  }, [selected]);
  const work = isWork(row) ? row : null;
  const moment = row.kind === 'correction' || row.kind === 'change' ? row : null;
  return (
    <li ref={box} class={`step is-${row.kind} ${work && !work.success ? 'is-fail' : ''} ${selected ? 'is-chosen' : ''}`}>
      <button type="button" aria-current={selected ? 'true' : undefined} onClick={() => choose(id)}>
        <Clock t={row.start} seconds />
        {work ? (
          <>
            <span class="one-line mid quiet">{work.staffer_id === null ? '–' : <Text s={work.staffer_id} max={30} />}</span>
            <span class="one-line">
              <Text s={work.endpoint} max={60} />
              {row.kind === 'run' && <b class="num"> ×{count(row.count)}</b>}
              {row.kind === 'op' && row.attempt !== null && row.attempt > 1 && <span class="quiet"> attempt {row.attempt}</span>}
            </span>
            <span class="one-line step-text">{work.error !== null ? <Text s={work.error} max={160} /> : work.success ? '' : 'failed'}</span>
            <Ms v={work.duration_ms} />
          </>
        ) : moment ? (
          <span class="step-wide change">
            ◆ {moment.kind} <span class="step-said">{moment.text ? <Text s={moment.text} max={200} /> : null}</span>
          </span>
        ) : (
          <span class="step-wide quiet">{says(row)}</span>
        )}
      </button>
    </li>
  );
}

/* ---- one of them ---- */

function Member({ name, children }: { name: string; children: JSX.Element | null | false }): JSX.Element | null {
  return children ? (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  ) : null;
}

function Detail({ row, close }: { row: Row; close: string }): JSX.Element {
  if (row.kind === 'idle')
    return (
      <Side title={`Idle for ${span(row.duration_ms)}`} close={close}>
        <p class="quiet">
          Nothing was recorded from <Clock t={row.start} seconds /> to <Clock t={row.end} seconds />.
        </p>
      </Side>
    );
  if (row.kind === 'correction' || row.kind === 'change')
    return (
      <Side title={row.kind === 'correction' ? 'Correction' : 'Change'} close={close}>
        <p>{row.text ? <Text s={row.text} /> : null}</p>
        {row.kind === 'correction' && row.applies_to && (
          <p class="quiet">
            For <Text s={row.applies_to} max={100} />
          </p>
        )}
        <p class="actions">
          <a class="button" href={href('console', [], { seq: row.seq })}>
            Journal row {row.seq}
          </a>
        </p>
      </Side>
    );
  const other = (key: Key, value: string | null): JSX.Element | null => (value === null ? null : <a href={href('trace', [], { [key]: value })}><Text s={value} max={60} /></a>);
  return (
    <Side title={row.kind === 'run' ? `${count(row.count)} identical` : row.success ? 'Succeeded' : 'Failed'} close={close}>
      {row.error && (
        <p class="fail">
          <Text s={row.error} />
        </p>
      )}
      <dl class="pairs">
        <Member name="endpoint"><Text s={row.endpoint} max={120} /></Member>
        <Member name="source"><Text s={row.source} max={60} /></Member>
        <Member name="began"><Clock t={row.start} seconds /></Member>
        <Member name={row.kind === 'run' ? 'took in all' : 'took'}><Ms v={row.duration_ms} /></Member>
        <Member name="attempt">{row.kind === 'op' && row.attempt !== null && <Num v={row.attempt} />}</Member>
        <Member name="agent">{other('staffer_id', row.staffer_id)}</Member>
        <Member name="session">{other('session_id', row.session_id)}</Member>
        <Member name="task">{other('sig_hash', row.sig_hash)}</Member>
        <Member name="task class">{row.task_class !== null && <a href={href('trajectory', [], { task_class: row.task_class })}><Text s={row.task_class} max={60} /></a>}</Member>
        <Member name="kind">{row.event_kind !== null && <Text s={row.event_kind} max={60} />}</Member>
        <Member name="failure kind">{row.cluster !== null && <a href={to('failures', [row.cluster])}><Id v={row.cluster} chars={8} /></a>}</Member>
      </dl>
      <p class="actions">
        <a class="button" href={href('console', [], { seq: seqOf(row) })}>
          Journal row {seqOf(row)}
        </a>
        {row.kind === 'run' && (
          <a class="button" href={href('console', [], { seq: row.last_seq })}>
            to {row.last_seq}
          </a>
        )}
        {row.sig_hash !== null && (
          <a class="button" href={href('trajectory', [], { sig_hash: row.sig_hash })}>
            Its attempts
          </a>
        )}
      </p>
    </Side>
  );
}

/* ---- all of it ---- */

function Summary({ t }: { t: Timeline }): JSX.Element {
  const s = t.summary;
  const took = s.first && s.last ? Date.parse(s.last) - Date.parse(s.first) : null;
  return (
    <p class="in-short">
      <b class="num">{many(s.ops, 'op')}</b>
      {s.failures > 0 && <b class="num fail">{many(s.failures, 'failure')}</b>}
      <span class="num">{span(took)} in all</span>
      <span class="num quiet">{span(s.busy_ms)} at work</span>
      {s.longest_idle_ms > 0 && <span class="num quiet">longest wait {span(s.longest_idle_ms)}</span>}
      {s.of_page && <span class="quiet">of this page</span>}
    </p>
  );
}

function CopyJson({ value }: { value: unknown }): JSX.Element {
  const [done, setDone] = useState('');
  return (
    <button
      type="button"
      class="plain"
      onClick={() => {
        const text = JSON.stringify(value, null, 2);
        const write = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'));
        write.then(
          () => setDone('copied'),
          () => setDone('the browser does not allow it'),
        );
        setTimeout(() => setDone(''), 3_000);
      }}
    >
      {done || 'copy as JSON'}
    </button>
  );
}

function OneTrace({ of, value }: { of: Key; value: string }): JSX.Element {
  const { params } = route.value;
  const errors = params.errors === 'true';
  const back = chosen(BACK, params.back, of === 'staffer_id' ? '15' : 'all');
  const since = useMemo(() => (back === 'all' ? null : new Date(now.peek() - Number(back) * 60_000).toISOString()), [back]);
  const data = useData<Timeline>(query('timeline', { [of]: value, errors: errors ? 'true' : null, since, limit: LIMIT, cursor: params.cursor }));
  const t = data.value;
  const rows = t?.rows ?? [];
  const first = t?.summary.first_failure_seq;
  const failed = rows.find((r) => isWork(r) && (r.kind === 'run' ? first !== null && first !== undefined && r.first_seq <= first && first <= r.last_seq : r.seq === first)) ?? rows.find((r) => isWork(r) && !r.success);
  const selected = params.step ?? null;
  const focus = selected ?? (failed ? rowId(failed) : null);
  const choose = (id: string): void => setParams({ step: id });
  const row = rows.find((r) => rowId(r) === selected);

  useEffect(() => {
    const key = (e: KeyboardEvent): void => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || /^(input|select|textarea)$/i.test((e.target as HTMLElement).tagName)) return;
      if (e.key !== 'j' && e.key !== 'k') return;
      e.preventDefault();
      const at = rows.findIndex((r) => rowId(r) === focus);
      const next = rows[Math.min(rows.length - 1, Math.max(0, selected === null ? at : at + (e.key === 'j' ? 1 : -1)))];
      if (next) choose(rowId(next));
    };
    addEventListener('keydown', key, { capture: true });
    return () => removeEventListener('keydown', key, { capture: true });
  }, [t, focus, selected]);

  return (
    <div class="view-trace">
      <div class="toolbar">
        <Ask first={of} value={value} />
        <Choice label="how far back" param="back" options={BACK} value={back} otherwise={of === 'staffer_id' ? '15' : 'all'} />
        <span class="spring" />
        <a class="plain" aria-current={errors ? 'true' : undefined} href={here({ errors: errors ? null : true, cursor: null, step: null })}>
          {errors ? 'all steps' : 'errors only'}
        </a>
        {!params.compare && (
          <a class="plain" href={here({ compare: true })}>
            compare
          </a>
        )}
        {t && <CopyJson value={t} />}
      </div>
      {params.compare && <CompareWith of={of} value={value} own={t} />}
      <Asked
        data={data}
        rows={8}
        isEmpty={(v) => v.rows.length === 0}
        empty={<Say title={errors ? 'Nothing failed in it.' : 'No op of it is kept.'}><p>Ops are found by their exact id, in what the journal still has{back === 'all' ? '' : ', as far back as is chosen above'}.</p></Say>}
      >
        {(v) => (
          <div class={row ? 'with-side' : ''}>
            <div class="trace-main">
              <Summary t={v} />
              <Lanes rows={v.rows} selected={focus} choose={choose} />
              <ol class="steps">
                {v.rows.map((r) => (
                  <Step key={rowId(r)} row={r} selected={rowId(r) === focus} choose={choose} />
                ))}
              </ol>
              {(v.next_cursor || params.cursor) && (
                <p class="note">
                  {many(v.rows.length, 'step')} of this page.{' '}
                  {params.cursor && <a href={here({ cursor: null, step: null })}>From the beginning</a>} {v.next_cursor && <a href={here({ cursor: v.next_cursor, step: null })}>Next page</a>}
                </p>
              )}
            </div>
            {row && <Detail row={row} close={here({ step: null })} />}
          </div>
        )}
      </Asked>
    </div>
  );
}

export function Trace(): JSX.Element {
  const { params } = route.value;
  const found = KEYS.find(([key]) => params[key] !== undefined && (key !== 'staffer_id' || !KEYS.some(([k]) => k !== 'staffer_id' && params[k])));
  const key = found?.[0];
  if (key && params.with) return <Compare key={`${params[key]}\t${params.with}`} of={key} value={params[key] ?? ''} other={params.with} />;
  return key ? <OneTrace key={`${key}\t${params[key]}`} of={key} value={params[key] ?? ''} /> : <Start />;
}
