// One kind of failure: what is known of why, the ops that show it, what its failures have in common, what was done about it.
import type { ComponentChildren, JSX } from 'preact';
import { query } from '../api';
import { useData } from '../data';
import { Bar } from '../parts/drawn';
import { Chart } from '../parts/chart';
import { failsSince, ranked } from '../clusters';
import { Template } from '../parts/failure';
import { OpRows } from '../parts/ops';
import { Asked, Panel, Say } from '../parts/panels';
import { Table } from '../parts/table';
import { Ago, Clock, Id, Num, State, Text } from '../parts/values';
import { to } from '../router';
import { now } from '../store';
import { clock, count, many, percent, span } from '../text';
import type { Analyses, Cluster, ClusterCorrection, Condition, Counts, Distinct, Finding, Ops, Playbook, Playbooks } from '../types';

const HOUR_MS = 3_600_000;
const EVIDENCE = 5;

function Head({ c }: { c: Cluster }): JSX.Element {
  return (
    <header class="cluster-head">
      <p class="crumbs">
        <a href={to('failures')}>Failures</a> / <Id v={c.id} chars={16} />
      </p>
      <h1>
        <Template s={c.template} />
      </h1>
      <p class="facts">
        <State s={c.state} />
        <span>
          since <b><Clock t={failsSince(c)} /></b>
        </span>
        <span>
          last <b><Ago t={c.last_received} ago /></b>
        </span>
        <span>
          <b><Num v={c.last_minute} /></b> in the last minute
        </span>
        <span>
          <b><Num v={c.last_hour} /></b> in the last hour
        </span>
        <span>
          <b><Num v={c.count} /></b> in all
        </span>
        <span title="the time that its failures took">
          <b class="num">{span(c.wasted_ms)}</b> lost
        </span>
        {c.regressions > 0 && (
          <span class="change">
            came back {many(c.regressions, 'time')}, last at <Clock t={c.regressed_at} />
          </span>
        )}
        {c.spreads > 0 && (
          <span class="change">
            spread {many(c.spreads, 'time')}, last at <Clock t={c.spread_at} />
          </span>
        )}
      </p>
    </header>
  );
}

function Over24Hours({ c }: { c: Cluster }): JSX.Element {
  const hour = Math.floor(now.value / HOUR_MS) * HOUR_MS;
  const times = c.trend.map((_, i) => new Date(hour - (c.trend.length - 1 - i) * HOUR_MS).toISOString());
  return <Chart title="Failures an hour" times={times} height={110} least={4} series={[{ label: 'failures', values: c.trend, color: '--fail', format: count, bars: true }]} />;
}

/* ---- why ---- */

function Diagnosis({ c }: { c: Cluster }): JSX.Element {
  const d = c.diagnosis;
  if (!d)
    return (
      <Panel title="Why">
        <Say title="Not analysed yet.">
          <p>The daemon looks at new failures once a cycle.</p>
        </Say>
      </Panel>
    );
  return (
    <Panel title="Why" side={<span title={`analysis ${d.analysis}`}>{d.grounded ? 'shown by the ops below' : 'not shown by any op'}, <Ago t={d.time} ago /></span>}>
      <div class="prose">
        <p>
          <Text s={d.cause} />
        </p>
        {d.adjust && (
          <p>
            <span class="label">Do: </span>
            <Text s={d.adjust} />
          </p>
        )}
        {d.dont && (
          <p>
            <span class="label">Do not: </span>
            <Text s={d.dont} />
          </p>
        )}
      </div>
    </Panel>
  );
}

function Evidence({ c }: { c: Cluster }): JSX.Element {
  const cited = c.diagnosis?.evidence ?? [];
  const seqs = (cited.length ? cited : c.samples).slice(0, EVIDENCE);
  const data = useData<Ops>(seqs.length ? query('ops', { seq: seqs.join(',') }) : null, { live: false });
  return (
    <Panel title={cited.length ? 'The ops that show it' : 'Some of its ops'} side={<a href={to('console', [], { cluster: c.id })}>all of them</a>}>
      {seqs.length ? (
        <Asked data={data} rows={EVIDENCE} isEmpty={(v) => v.ops.length === 0} empty={<Say title="These ops are no longer kept." />}>
          {(v) => <OpRows ops={v.ops} open={1} />}
        </Asked>
      ) : (
        <Say title="None is kept." />
      )}
    </Panel>
  );
}

/* ---- what they have in common ---- */

const RELATIONS: Record<Condition['relation'], (c: Condition) => string> = {
  is: (c) => `${c.field} ${(c.values ?? []).join(' or ')}`,
  absent: (c) => `no ${c.field}`,
  above: (c) => `${c.field} above ${count(c.number)}`,
  at_most: (c) => `${c.field} of ${count(c.number)} or less`,
};

function said(conditions: Condition[]): string {
  return conditions.map((c) => RELATIONS[c.relation]?.(c) ?? c.field).join(' and ');
}

/** Its failures among the ops that have it, beside those among all others. */
function FindingBars({ f }: { f: Finding }): JSX.Element {
  const share = f.ops ? f.failures / f.ops : 0;
  const rest = f.rest_ops ? f.rest_failures / f.rest_ops : 0;
  const scale = Math.max(share, rest, 1e-9);
  return (
    <div class="finding">
      <p>
        <Text s={said(f.conditions ?? []) || f.likely_cause || f.cause} max={200} />
      </p>
      <div class="compare">
        <span>with it</span>
        <Bar share={share / scale} fail label={`${percent(share)} fail with it`} />
        <span class="num">
          <b class="fail">{percent(share)}</b> {count(f.failures)} of {count(f.ops)}
        </span>
        <span>without</span>
        <Bar share={rest / scale} fail label={`${percent(rest)} fail without it`} />
        <span class="num">
          <b>{percent(rest)}</b> {count(f.rest_failures)} of {count(f.rest_ops)}
        </span>
      </div>
    </div>
  );
}

interface DimensionProps {
  name: string;
  counts: Counts;
  all: number;
  link?: (value: string) => string;
}

/** Whether all of them have one value: that takes a word, not a bar. */
function isOne({ counts, all }: DimensionProps): boolean {
  const values = Object.values(counts);
  return values.length === 1 && values[0] === all;
}

function Same({ all }: { all: DimensionProps[] }): JSX.Element | null {
  if (!all.length) return null;
  return (
    <p class="facts">
      <span>All of them:</span>
      {all.map(({ name, counts, link }) => {
        const value = Object.keys(counts)[0] ?? '';
        return (
          <span>
            {name} <b>{link ? <a class="quietly" href={link(value)}><Text s={value} max={60} /></a> : <Text s={value} max={60} />}</b>
          </span>
        );
      })}
    </p>
  );
}

function Dimension({ name, counts, all, link }: DimensionProps): JSX.Element | null {
  const rows = ranked(counts).slice(0, 5);
  if (!rows.length) return null;
  return (
    <div class="dim">
      {name && <h3>{name}</h3>}
      {rows.map(([value, n]) => (
        <>
          <span class="one-line">{link && value !== '(other)' ? <a class="quietly" href={link(value)}><Text s={value} max={60} /></a> : <Text s={value} max={60} />}</span>
          <Bar share={n / Math.max(1, all)} label={`${count(n)} of ${count(all)}`} />
          <span class="num right quiet">{percent(n / Math.max(1, all))}</span>
        </>
      ))}
    </div>
  );
}

function Tasks({ name, d, view, param }: { name: string; d: Distinct; view: string; param: string }): JSX.Element | null {
  if (!d.failures) return null;
  const words = { one: 'always the same one', each: 'nearly every time another', some: 'some again and again' };
  const known: Counts = Object.fromEntries(Object.entries(d.top).filter(([v]) => v !== '(other)'));
  return (
    <div>
      <p class="quiet">
        {many(d.distinct, `different ${name}`, `different ${name}s`)}
        {d.pattern ? `: ${words[d.pattern]}` : ''}
      </p>
      <Dimension name="" counts={known} all={d.failures} link={(v) => to(view, [], { [param]: v })} />
    </div>
  );
}

function InCommon({ c }: { c: Cluster }): JSX.Element {
  const analyses = useData<Analyses>(c.diagnosis ? query('analyses', { cluster: c.id, limit: 1, full: true }) : null);
  const findings = analyses.value?.analyses[0]?.diagnosis?.findings ?? [];
  const only = (name: string) => (v: string) => to('failures', [], { [name]: v });
  const all = c.count;
  const dimensions: DimensionProps[] = [
    { name: 'endpoint', counts: c.endpoints, all, link: only('endpoint') },
    { name: 'source', counts: c.sources, all, link: only('source') },
    { name: 'staffer', counts: c.staffers, all, link: (v) => to('trace', [], { staffer_id: v }) },
    { name: 'class of tasks', counts: c.task_classes, all, link: (v) => to('trajectory', [], { task_class: v }) },
    { name: 'event', counts: c.event_kinds, all },
  ];
  return (
    <Panel title="What they have in common">
      {findings.map((f) => (
        <FindingBars f={f} />
      ))}
      <Same all={dimensions.filter(isOne)} />
      <div class="dims">
        {dimensions.filter((d) => !isOne(d)).map((d) => (
          <Dimension {...d} />
        ))}
        <Tasks name="session" d={c.sessions} view="trace" param="session_id" />
        <Tasks name="task" d={c.sig_hashes} view="trajectory" param="sig_hash" />
      </div>
    </Panel>
  );
}

/* ---- what was done about it ---- */

function Tried({ x }: { x: ClusterCorrection }): JSX.Element {
  const after = x.succeeded + x.failed;
  return (
    <div class="finding">
      <p>
        <a class="quietly" href={to('console', [], { seq: x.seq })}>
          <Text s={x.text} max={400} />
        </a>{' '}
        <span class="quiet">
          <Clock t={x.time} />, for its {x.for === 'task_class' ? 'class of tasks' : 'task'}
        </span>
      </p>
      {after > 0 ? (
        <div class="compare">
          <span>failed since</span>
          <Bar share={x.failed / after} fail label={`${count(x.failed)} of the next ${count(after)} failed`} />
          <span class="num">
            <b class={x.failed ? 'fail' : ''}>{percent(x.failed / after)}</b> {count(x.failed)} of the next {count(after)}
          </span>
        </div>
      ) : (
        <p class="quiet">Nothing has tried it since.</p>
      )}
    </div>
  );
}

function Effect({ p }: { p: Playbook }): JSX.Element {
  const e = p.effect;
  const scale = Math.max(e?.before.rate ?? 0, e?.after.rate ?? 0, 1e-9);
  const line = (name: string, r: { ops: number; failures: number; rate: number | null }): ComponentChildren => (
    <>
      <span>{name}</span>
      {r.rate === null ? <span class="quiet">no ops</span> : <Bar share={r.rate / scale} fail label={`${percent(r.rate)} failed ${name}`} />}
      <span class="num">
        {r.rate === null ? '' : <b>{percent(r.rate)}</b>} {count(r.failures)} of {count(r.ops)}
      </span>
    </>
  );
  return (
    <div class="finding">
      <p>
        <a class="quietly" href={to('knowledge', [p.id])}>
          <Text s={p.text} max={300} />
        </a>{' '}
        <span class="quiet">
          advised since <Clock t={p.created} />
          {p.retired ? ', no more' : ''}
        </span>
      </p>
      {e && (
        <div class="compare">
          {line('before', e.before)}
          {line('after', e.after)}
        </div>
      )}
      {e && e.low !== null && e.high !== null && e.difference !== null && (
        <p class="quiet">
          {e.difference <= 0 ? 'Less' : 'More'} by {percent(Math.abs(e.difference))} of the ops; it is between {signed(e.low)} and {signed(e.high)}.
        </p>
      )}
    </div>
  );
}

function signed(v: number): string {
  return `${v < 0 ? '−' : '+'}${percent(Math.abs(v))}`;
}

function Done({ c }: { c: Cluster }): JSX.Element {
  const place = ranked(c.endpoints)[0]?.[0];
  const playbooks = useData<Playbooks>(query('playbooks', { endpoint: place === '(other)' ? null : place, kind: 'dont', full: true, limit: 100 }));
  const own = playbooks.value?.playbooks.filter((p) => p.cluster === c.id || c.former_ids.includes(p.cluster ?? '')) ?? [];
  return (
    <Panel title="What was done about it" side={c.corrected > c.corrections.length ? `the last ${count(c.corrections.length)} of ${many(c.corrected, 'correction')}` : undefined}>
      {c.corrections.map((x) => (
        <Tried key={x.seq} x={x} />
      ))}
      {own.map((p) => (
        <Effect key={p.id} p={p} />
      ))}
      {!c.corrections.length && !own.length && <p class="quiet">No correction, and no advice yet.</p>}
    </Panel>
  );
}

function Places({ c }: { c: Cluster }): JSX.Element | null {
  if (c.places.length < 2) return null;
  return (
    <Panel title="Where" side={`${clock(c.first_seen, now.value)} and since`}>
      <Table
        label="endpoints where it fails"
        rows={c.places}
        id={(p) => p.endpoint}
        columns={[
          { head: 'state', cell: (p) => <State s={p.state} /> },
          { head: 'endpoint', class: 'grow', cell: (p) => <span class="one-line"><a class="quietly" href={to('failures', [], { endpoint: p.endpoint })}><Text s={p.endpoint} max={80} /></a></span> },
          { head: 'last hour', right: true, cell: (p) => <Num v={p.last_hour} /> },
          { head: 'in all', right: true, cell: (p) => <Num v={p.count} /> },
          { head: 'last', right: true, cell: (p) => <Ago t={p.last_seen} /> },
        ]}
      />
    </Panel>
  );
}

export function ClusterPage({ id }: { id: string }): JSX.Element {
  const data = useData<Cluster>(`clusters/${encodeURIComponent(id)}`);
  return (
    <Asked data={data} rows={8}>
      {(c) => (
        <>
          <Head c={c} />
          <div class="cluster-columns">
            <div>
              <Diagnosis c={c} />
              <Evidence c={c} />
              <Done c={c} />
            </div>
            <div>
              <Over24Hours c={c} />
              <Places c={c} />
              <InCommon c={c} />
            </div>
          </div>
        </>
      )}
    </Asked>
  );
}
