// Is the fleet healthy, and if not, what comes first? One sentence made from data, the few numbers, what costs most, what
// has changed.
import type { ComponentChildren, JSX } from 'preact';
import './overview.css';
import { query } from '../api';
import { useData } from '../data';
import { Chart, type Series } from '../parts/chart';
import { clusterLink, Template, Trend, Where } from '../parts/failure';
import { Asked, NothingYet, Panel, Say } from '../parts/panels';
import { Table } from '../parts/table';
import { Ago, Clock, Id, Ms, Num, Share, State, Text } from '../parts/values';
import { filters, here, route, to } from '../router';
import { type Verdict, verdict } from '../sentence';
import { fault, link, live, now } from '../store';
import { age, clock, count, many, millis, percent, rate, span } from '../text';
import type { Alert, Alerts, Analyses, Change, Changes, ClusterRow, Clusters, Finding, History, Summary } from '../types';

const SHOWN = 5;
const CHANGES = 7;
const ENTRIES = 2;
const HOUR_MS = 3_600_000;
const BEGUN_MS = 10_000;

/* ---- the sentence ---- */

interface Blame {
  field: string;
  value: string;
}

/** What a finding names besides the place that the sentence names already. */
function blameOf(f: Finding | undefined, place: string): Blame | null {
  const one = f?.conditions.find((c) => c.relation === 'is' && c.values?.length === 1 && c.values[0] !== place);
  return one ? { field: one.field, value: one.values?.[0] ?? '' } : null;
}

function headline(v: Verdict, blame: Blame | null): ComponentChildren {
  switch (v.kind) {
    case 'unknown':
      return fault.value ? 'It is not known how the fleet is: the daemon does not answer.' : 'Asking the daemon how the fleet is …';
    case 'empty':
      return 'Nothing has been recorded yet.';
    case 'stopped':
      return 'Nothing can be recorded now.';
    case 'stale':
      return `It is not known how the fleet is: nothing was recorded for ${age(v.since, now.value)}.`;
    case 'failing':
      return (
        <>
          {v.endpoints === 1 ? 'One endpoint fails' : `${count(v.endpoints)} endpoints fail`}
          {v.more ? ' more than before' : ''}
          {v.endpoints === 1 ? ': ' : '; worst: '}
          <a href={to('failures', [], { endpoint: v.worst.endpoint })}>
            <Text s={v.worst.endpoint} max={80} />
          </a>
          , <span class="fail num">{percent(v.worst.share)}</span>
          {v.since && <> since {clock(v.since, now.value)}</>}
          {blame && (
            <>
              , with <Text s={blame.field.replace(/^extra\./, '')} /> <Text s={blame.value} max={60} />
            </>
          )}
          {v.cluster && (
            <>
              , cluster{' '}
              <a href={clusterLink(v.cluster.id)}>
                <Id v={v.cluster.id} />
              </a>
            </>
          )}
          .
        </>
      );
    case 'changed':
      return (
        <>
          Nothing fails much, but{' '}
          {v.cluster.state === 'new' ? 'a kind of failure is new' : 'a kind of failure is back'}
          {v.others > 0 ? `, with ${count(v.others)} more` : ''}:{' '}
          <a href={clusterLink(v.cluster.id)}>
            <Template s={v.cluster.template} />
          </a>
          , {many(v.cluster.last_hour, 'time')} in the last hour.
        </>
      );
    case 'well':
      return v.failures === 0
        ? `All is well: of ${count(v.ops)} operations in the last ${v.minutes === 60 ? 'hour' : `${v.minutes} minutes`} none failed.`
        : `All is well: ${percent(v.failures / v.ops)} of ${count(v.ops)} operations in the last ${v.minutes === 60 ? 'hour' : `${v.minutes} minutes`} failed, no more than before.`;
  }
}

/** Behind the sentence: why, or what that means. */
function Because({ v, cause, asked }: { v: Verdict; cause: string | null; asked: boolean }): JSX.Element | null {
  if (v.kind === 'stopped') return <p class="fail"><Text s={v.reason} max={400} /></p>;
  if (v.kind === 'stale') return <p>The daemon answers and can record. What is shown is how it was then.</p>;
  if (v.kind === 'failing' && asked) return <p>&nbsp;</p>; // its line is kept free
  if (v.kind === 'failing') return <p>{cause ? <Text s={cause} max={400} /> : v.cluster ? 'No cause stands out yet.' : 'These failures are of no kind that stands out.'}</p>;
  if (v.kind === 'changed') return cause ? <p><Text s={cause} max={400} /></p> : null;
  return null;
}

function Sentence({ summary, clusters }: { summary: Summary | null; clusters: ClusterRow[] | null }): JSX.Element {
  const v = verdict(live.value, link.value === 'stale', summary, clusters);
  const worst = v.kind === 'failing' || v.kind === 'changed' ? v.cluster : null;
  const analyses = useData<Analyses>(worst ? query('analyses', { cluster: worst.id, limit: 1, full: true }) : null);
  const analysis = analyses.value?.analyses[0];
  const finding = analysis?.diagnosis?.findings[0];
  return (
    <section class="sentence" aria-live="polite">
      <h1>{headline(v, blameOf(finding, v.kind === 'failing' ? v.worst.endpoint : ''))}</h1>
      <Because v={v} cause={finding ? `${finding.finding} ${finding.advice ?? ''}` : (analysis?.diagnosis?.summary ?? null)} asked={analyses.loading} />
    </section>
  );
}

/* ---- alerts ---- */

function AlertRow({ a }: { a: Alert }): JSX.Element {
  return (
    <div class="alert-row">
      <State s={a.state} />
      <span class="grow">
        <Text s={a.text} max={300} />
      </span>
      <span class="quiet">
        <Ago t={a.fired ?? a.since} ago />
      </span>
      <a href={to('alerts', [], { rule: a.rule })}>{a.rule}</a>
    </div>
  );
}

function Firing(): JSX.Element | null {
  const some = (live.value?.alerts?.firing ?? 0) > 0;
  const { value } = useData<Alerts>(some ? query('alerts', { state: 'firing', limit: SHOWN }) : null);
  if (!some || !value?.alerts.length) return null;
  return (
    <section aria-label="alerts that fire">
      {value.alerts.map((a) => (
        <AlertRow key={a.rule + JSON.stringify(a.group)} a={a} />
      ))}
      {value.firing > value.alerts.length && (
        <p class="note">
          <a href={to('alerts')}>{count(value.firing - value.alerts.length)} more</a>
        </p>
      )}
    </section>
  );
}

/* ---- the few numbers ---- */

function Figure({ name, children, note }: { name: string; children: ComponentChildren; note?: ComponentChildren }): JSX.Element {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd>
        {children}
        <small class="num">{note}</small>
      </dd>
    </div>
  );
}

/** Of what is chosen: an endpoint, a source, or all of it. */
function numbers(summary: Summary | null, window: '1m' | '5m' | '1h'): { ops: number; failures: number; p50: number | null; p99: number | null } | null {
  const { endpoint, source } = filters();
  const w = summary?.windows[window];
  if (endpoint || source) {
    const t = endpoint ? w?.by_endpoint[endpoint] : w?.by_source[source ?? ''];
    return w ? { ops: t?.total ?? 0, failures: t?.failures ?? 0, p50: t?.duration_ms.p50 ?? null, p99: t?.duration_ms.p99 ?? null } : null;
  }
  const l = live.value?.windows[window];
  return l ? { ops: l.ops, failures: l.failures, p50: l.p50_ms, p99: l.p99_ms } : null;
}

function Figures({ summary }: { summary: Summary | null }): JSX.Element {
  const minute = numbers(summary, '1m');
  const five = numbers(summary, '5m');
  const hour = numbers(summary, '1h');
  const share = (n: typeof five): number | null => (n && n.ops > 0 ? n.failures / n.ops : null);
  const c = live.value?.clusters;
  return (
    <dl class="figures">
      <Figure name="Operations, last minute" note="a second">
        <span class="num">{rate(minute ? minute.ops / 60 : null)}</span>
      </Figure>
      <Figure name="Failed, last 5 minutes" note={five ? `${count(five.failures)} of ${count(five.ops)}` : ''}>
        <Share v={share(five)} />
      </Figure>
      <Figure name="Failed, last hour" note={hour ? `${count(hour.failures)} of ${count(hour.ops)}` : ''}>
        <Share v={share(hour)} />
      </Figure>
      <Figure name="Duration, last hour" note={`median; p99 ${millis(hour?.p99)}`}>
        <Ms v={hour?.p50} />
      </Figure>
      <Figure name="Kinds of failure, open" note={c ? `${count(c.new)} new, ${count(c.regressed)} back` : ''}>
        <a href={to('failures')} class={c && c.new + c.regressed > 0 ? 'change' : ''}>
          <Num v={c ? c.new + c.ongoing + c.regressed : null} />
        </a>
      </Figure>
    </dl>
  );
}

/* ---- over time ---- */

const isDay = (): boolean => route.value.params['window'] === '24h';
const historyPath = (): string => query('history', { window: isDay() ? '24h' : '1h' });

function Charts(): JSX.Element {
  const history = useData<History>(historyPath());
  const day = isDay();
  return (
    <Panel
      title={day ? 'The last 24 hours' : 'The last hour'}
      side={
        <span class="choices">
          <a href={here({ window: null })} aria-current={!day}>
            1 h
          </a>
          <a href={here({ window: '24h' })} aria-current={day}>
            24 h
          </a>
        </span>
      }
    >
      <Asked data={history} rows={5}>
        {(h) => {
          const end = Date.parse(h.now);
          // The last step is under way; when it has only just begun, it says nothing yet.
          const points = h.points.filter((p) => end - Date.parse(p.t) >= BEGUN_MS);
          const times = points.map((p) => p.t);
          const of = (f: (p: (typeof points)[number]) => number | null): (number | null)[] => points.map(f);
          const seconds = (p: { t: string }): number => Math.max(1, Math.min(h.step_s, (end - Date.parse(p.t)) / 1000));
          const all: Series = { label: 'all', values: of((p) => p.ops / seconds(p)), color: '--ink-2', format: rate };
          const failed: Series = { label: 'failed', values: of((p) => p.failures / seconds(p)), color: '--fail', format: rate };
          const share: Series = { label: 'failed', values: of((p) => (p.ops ? p.failures / p.ops : null)), color: '--fail', format: percent };
          return (
            <div class="charts">
              <Chart title="Operations a second" times={times} series={[all, failed]} />
              <Chart title="Share that failed" times={times} series={[share]} least={0.02} />
              <Chart
                title="Duration"
                times={times}
                log
                series={[
                  { label: 'p50', values: of((p) => p.p50_ms), color: '--ink', format: millis },
                  { label: 'p95', values: of((p) => p.p95_ms), color: '--ink-2', format: millis, dash: [5, 3] },
                  { label: 'p99', values: of((p) => p.p99_ms), color: '--ink-3', format: millis, dash: [1, 3] },
                ]}
              />
            </div>
          );
        }}
      </Asked>
    </Panel>
  );
}

/* ---- what costs most, what has changed ---- */

function Worst({ rows }: { rows: ClusterRow[] }): JSX.Element {
  return (
    <Table
      label="kinds of failure that cost most"
      rows={rows}
      id={(c) => c.id}
      link={(c) => clusterLink(c.id)}
      columns={[
        { head: 'state', cell: (c) => <State s={c.state} /> },
        { head: 'kind of failure', class: 'grow', cell: (c) => <span class="one-line"><a class="quietly" href={clusterLink(c.id)}><Template s={c.template} /></a></span> },
        { head: 'where', class: 'mid place', cell: (c) => <Where c={c} /> },
        { head: '24 h', class: 'mid', cell: (c) => <Trend c={c} width={72} /> },
        { head: 'last hour', right: true, cell: (c) => <Num v={c.last_hour} /> },
        { head: 'lost', right: true, title: 'the time that its failures took', cell: (c) => <span class="num">{span(c.wasted_ms)}</span> },
      ]}
    />
  );
}

function changeLink(c: Change): string | null {
  if (c.cluster) return clusterLink(c.cluster);
  if (c.playbook) return to('knowledge', [c.playbook]);
  if (c.what && c.value && ['endpoint', 'source', 'staffer_id'].includes(c.what)) return to('failures', [], { [c.what]: c.value });
  return c.seq ? to('console', [], { seq: c.seq }) : null;
}

interface Joined {
  one: Change;
  times: number;
}

/** The newest of each: what changes again and again is one change, with how often. Entries of the playbook, which come in
 * numbers, leave room for the rest; `more` says how many there are besides. */
function joined(all: Change[]): { rows: Joined[]; more: number } {
  const kept = new Map<string, Joined>();
  for (const one of all) {
    const key = one.playbook ?? `${one.kind} ${one.cluster ?? one.text}`;
    const before = kept.get(key);
    if (before) before.times += 1;
    else kept.set(key, { one, times: 1 });
  }
  const changes = [...kept.values()];
  const entries = changes.filter((c) => c.one.playbook);
  const shown = new Set(entries.slice(0, Math.max(ENTRIES, CHANGES - (changes.length - entries.length))));
  return { rows: changes.filter((c) => !c.one.playbook || shown.has(c)).slice(0, CHANGES), more: entries.length - shown.size };
}

function ChangeRows({ all }: { all: Change[] }): JSX.Element {
  const { rows, more } = joined(all);
  return (
    <>
      <ol class="changes">
        {rows.map(({ one, times }, i) => {
          const at = changeLink(one);
          return (
            <li key={`${one.time}${i}`}>
              <Clock t={one.time} />
              <span class="clamp" title={one.text}>
                {at ? <a class="quietly" href={at}><Text s={one.text} max={240} /></a> : <Text s={one.text} max={240} />}
                {times > 1 && <span class="quiet num"> {count(times)} times</span>}
              </span>
            </li>
          );
        })}
      </ol>
      {more > 0 && (
        <p class="note">
          <a href={to('knowledge')}>{many(more, 'more entry', 'more entries')} of the playbook</a>
        </p>
      )}
    </>
  );
}

function Changed(): JSX.Element {
  const minute = Math.floor(now.value / 60_000) * 60_000;
  const changes = useData<Changes>(live.value ? query('changes', { since: new Date(minute - HOUR_MS).toISOString(), limit: 100 }) : null);
  return (
    <Asked data={changes} rows={5} isEmpty={(c) => c.changes.length === 0} empty={<Say title="Nothing has changed in the last hour." />}>
      {(c) => <ChangeRows all={c.changes} />}
    </Asked>
  );
}

/* ---- all of it ---- */

const clustersPath = (): string => query('clusters', { ...filters(), sort: 'impact', limit: 20 });

export const overviewAsks = (): string[] => ['summary', clustersPath()];

export function Overview(): JSX.Element {
  const summary = useData<Summary>('summary');
  const clusters = useData<Clusters>(clustersPath());
  const open = clusters.value?.clusters.filter((c) => c.state !== 'resolved') ?? null;
  if (link.value === 'idle')
    return (
      <>
        <section class="sentence">
          <h1>Nothing has been recorded yet.</h1>
        </section>
        <NothingYet titled />
      </>
    );
  return (
    <>
      <Sentence summary={summary.value} clusters={open} />
      <Firing />
      <Figures summary={summary.value} />
      <Charts />
      <div class="halves">
        <Panel title="What costs most" side={<a href={to('failures')}>all failures</a>}>
          <Asked data={clusters} rows={SHOWN} isEmpty={() => !open?.length} empty={<Say title="No kind of failure is open." />}>
            {() => <Worst rows={(open ?? []).slice(0, SHOWN)} />}
          </Asked>
        </Panel>
        <Panel title="What has changed in the last hour">
          <Changed />
        </Panel>
      </div>
    </>
  );
}
