// Two runs side by side, step by step: where they part, and in what they differ.
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { query } from '../api';
import { useData } from '../data';
import { Asked, Panel, Say } from '../parts/panels';
import { Clock, Ms, Text } from '../parts/values';
import { go, here, href, route } from '../router';
import { count, many, span } from '../text';
import type { Op, Paged } from '../types';
import { type Pair, align, goesApart, parting } from './compare_align';
import { type Run, Runs, newRun, tally } from './runs';
import { type Row, type Timeline, isWork, rowId } from './trace_layout';
import './compare.css';

const LIMIT = 200;
const SHOWN = 8;

/* ---- with which ---- */

interface Candidate extends Run {
  /** How many of its ops are of a class of tasks that the run has too: most of them, and it does the same. */
  alike: number;
}

interface OpsAnswer extends Paged {
  ops: { seq: number; op: Op }[];
}

/** Other runs among the last ops: those that do the same come first, then those that fail least. */
function candidates(of: keyof Op, value: string, list: Op[], own: Timeline | null): Candidate[] {
  const classes = new Set((own?.rows ?? []).filter(isWork).map((r) => r.task_class ?? r.endpoint));
  const found = new Map<string, Candidate>();
  for (const op of list) {
    const name = op[of];
    if (typeof name !== 'string' || name === value) continue;
    const c = found.get(name) ?? { ...newRun(name, op), alike: 0 };
    tally(c, op);
    if (classes.has(op.task_class ?? op.endpoint)) c.alike += 1;
    found.set(name, c);
  }
  const share = (c: Candidate): number => c.failures / c.ops;
  const does = (c: Candidate): number => Number(c.alike * 2 > c.ops);
  return [...found.values()].sort((a, b) => does(b) - does(a) || share(a) - share(b) || b.ops - a.ops).slice(0, SHOWN);
}

/** Asks for the second run. */
export function CompareWith({ of, value, own }: { of: keyof Op; value: string; own: Timeline | null }): JSX.Element {
  const [text, setText] = useState('');
  const last = useData<OpsAnswer>(query('ops', { limit: 500 }), { live: false });
  const list = useMemo(() => candidates(of, value, last.value?.ops.map((o) => o.op) ?? [], own), [last.value, own, value]);
  const to = (other: string): string => href('trace', [], { [of]: value, with: other });
  return (
    <Panel title="Compare with" side={<a href={here({ compare: null })}>cancel</a>} class="compare-with">
      <form
        class="ask"
        onSubmit={(e) => {
          e.preventDefault();
          if (text.trim()) go(to(text.trim()));
        }}
      >
        <input aria-label="the other's id" placeholder="id" value={text} onInput={(e) => setText(e.currentTarget.value)} spellcheck={false} />
        <button type="submit">Compare</button>
      </form>
      <Asked data={last} rows={4} isEmpty={() => list.length === 0} empty={<Say title="Among the last ops there is no other." />}>
        {() => <Runs list={list} lead={(c) => <span class="num quiet">{many(c.ops, 'op')}</span>} link={(c) => to(c.value)} />}
      </Asked>
    </Panel>
  );
}

/* ---- side by side ---- */

function Head({ of, value, t, side }: { of: string; value: string; t: Timeline; side: string }): JSX.Element {
  const s = t.summary;
  const took = s.first && s.last ? Date.parse(s.last) - Date.parse(s.first) : null;
  return (
    <div class="compare-side">
      <h2>
        <span class="quiet">{side}</span>{' '}
        <a href={href('trace', [], { [of]: value })}>
          <Text s={value} max={60} />
        </a>
      </h2>
      <p class="quiet">
        <span class="num">{many(s.ops, 'op')}</span>, <span class={`num ${s.failures ? 'fail' : ''}`}>{many(s.failures, 'failure')}</span>, <span class="num">{span(took)}</span>
        {s.staffers[0] && (
          <span class="mid">
            , <Text s={s.staffers.slice(0, 2).join(', ')} max={60} />
            {s.staffers.length > 2 && ` +${s.staffers.length - 2}`}
          </span>
        )}
      </p>
    </div>
  );
}

/** `lead`: j and k stop here. */
function Cell({ of, value, row, lead }: { of: string; value: string; row: Row | null; lead: boolean }): JSX.Element {
  if (!row) return <span class="compare-none" />;
  const work = isWork(row) ? row : null;
  const said = row.kind === 'correction' || row.kind === 'change' ? row.text : null;
  return (
    <a class={`compare-cell ${work && !work.success ? 'is-fail' : ''}`} href={href('trace', [], { [of]: value, step: rowId(row) })} data-row={lead ? '' : undefined}>
      <span class="mid">
        <Clock t={row.start} seconds />
      </span>
      <span class="one-line">
        {work ? <Text s={work.endpoint} max={60} /> : <span class={row.kind === 'idle' ? 'quiet' : 'change'}>{row.kind}</span>}
        {work?.kind === 'run' && <b class="num"> ×{count(work.count)}</b>}
      </span>
      {'duration_ms' in row ? <Ms v={row.duration_ms} /> : <span />}
      {((work && !work.success) || said) && <span class="one-line compare-text">{work ? work.error ? <Text s={work.error} max={160} /> : 'failed' : <Text s={said} max={160} />}</span>}
    </a>
  );
}

function Parting({ pairs }: { pairs: Pair[] }): JSX.Element {
  const first = pairs.findIndex(goesApart);
  const slower = pairs.filter((p) => p.differences.length > 0 && !goesApart(p)).length;
  const alike = first < 0 ? pairs.length : first;
  if (first < 0)
    return (
      <p class="compare-says">
        The same course: {many(pairs.length, 'step')} beside each other{slower > 0 ? `, ${count(slower)} of them with another duration` : ''}.
      </p>
    );
  const { step, words } = parting(pairs[first] as Pair);
  return (
    <p class="compare-says">
      {alike > 0 ? `${many(alike, 'step')} alike, then ` : 'From the first step on: '}
      <a href={here({})} onClick={(e) => (e.preventDefault(), document.querySelector<HTMLElement>('.compare-pair.is-apart [data-row]')?.focus())}>
        <Text s={step} max={80} />
      </a>{' '}
      {words}.
    </p>
  );
}

function Side2Side({ of, value, other, left, right }: { of: string; value: string; other: string; left: Timeline; right: Timeline }): JSX.Element {
  const only = route.value.params.only === 'true';
  const pairs = useMemo(() => align(left.rows, right.rows), [left, right]);
  const shown = only ? pairs.filter((p) => p.differences.length > 0) : pairs;
  return (
    <>
      <Parting pairs={pairs} />
      <div class="compare-heads">
        <Head of={of} value={value} t={left} side="left" />
        <Head of={of} value={other} t={right} side="right" />
      </div>
      <ol class="compare-pairs" aria-label="their steps beside each other">
        {shown.map((p) => (
          <li key={`${p.left ? rowId(p.left) : ''} ${p.right ? rowId(p.right) : ''}`} class={`compare-pair ${p.differences.length ? 'is-other' : ''} ${goesApart(p) ? 'is-apart' : ''}`}>
            <Cell of={of} value={value} row={p.left} lead={p.left !== null} />
            <span class="compare-mark">{p.differences.length ? p.differences.map((d) => <span class={`mark-${d.kind}`}>{d.words}</span>) : <span class="quiet">=</span>}</span>
            <Cell of={of} value={other} row={p.right} lead={p.left === null} />
          </li>
        ))}
      </ol>
      {only && shown.length === 0 && <Say title="They differ in nothing." />}
      {(left.next_cursor || right.next_cursor) && <p class="note">The first {LIMIT} steps of each are compared.</p>}
    </>
  );
}

export function Compare({ of, value, other }: { of: string; value: string; other: string }): JSX.Element {
  const only = route.value.params.only === 'true';
  const left = useData<Timeline>(query('timeline', { [of]: value, limit: LIMIT }));
  const right = useData<Timeline>(query('timeline', { [of]: other, limit: LIMIT }));
  const none = <Say title="No op of it is kept." />;
  const isEmpty = (t: Timeline): boolean => t.rows.length === 0;
  return (
    <div class="view-trace">
      <div class="toolbar">
        <a class="plain" href={href('trace', [], { [of]: value })}>
          one alone
        </a>
        <a class="plain" href={href('trace', [], { [of]: value, compare: true })}>
          with another
        </a>
        <a class="plain" href={here({ [of]: other, with: value })}>
          swap
        </a>
        <span class="spring" />
        <a class="plain" aria-current={only ? 'true' : undefined} href={here({ only: only ? null : true })}>
          {only ? 'all steps' : 'differences only'}
        </a>
      </div>
      <Asked data={left} rows={8} isEmpty={isEmpty} empty={none}>
        {(l) => (
          <Asked data={right} rows={8} isEmpty={isEmpty} empty={none}>
            {(r) => <Side2Side of={of} value={value} other={other} left={l} right={r} />}
          </Asked>
        )}
      </Asked>
    </div>
  );
}
