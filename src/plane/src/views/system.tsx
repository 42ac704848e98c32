// Can these numbers be trusted? What came in and what became of it must balance; then how recording does, and which limits
// were reached. All of it is /health, /metrics where it says more, and the clocks of the summary.
import type { ComponentChildren, JSX } from 'preact';
import './system.css';
import { Fleet } from './system_fleet';
import { useData } from '../data';
import { Asked, Panel } from '../parts/panels';
import { Table } from '../parts/table';
import { Ago, Num, Text } from '../parts/values';
import { live } from '../store';
import { bytes, count, many, millis, span } from '../text';
import type { Summary } from '../types';

interface Terms {
  received: number;
  recorded: number;
  duplicate: number;
  rejected: number;
  in_flight: number;
  refused: number;
}

interface Sockets {
  open: number;
  accepted: number;
  refused: number;
  evicted: number;
  expired: number;
}

interface Calls {
  calls: number;
  ok: number;
  failed: number;
  refused: number;
  breaker: string;
  tokens: number;
}

interface Health {
  version: string;
  data_dir: string | null;
  seq: number;
  uptime_s: number;
  transports: Record<string, Terms>;
  urls: Record<string, string[]>;
  fleet: { roles: string[]; hindered: string | null } | null;
  access: { open: string[]; plain: string[]; key_file: string; keys: number; denied: number; limited: number; broken: number; audit_lost: number };
  tls: { expires: string | null; problem: string | null };
  redaction: { kinds: string; redacted: Record<string, number> };
  feed: { ops: number; messages: number; bytes: number; dropped: number; lost: number; subscribers: number };
  clusters: { held: number; forgotten: number; lost: number; merged: number; repeats: number; repeats_forgotten: number };
  learn?: { analyser: string; cycles: number; missed_cycles: number; calls?: Record<string, Calls> };
  journal?: { bytes: number; segments: number; appends: number; syncs: number; failures: number; bad_rows: number; rejected: number; rejected_dropped: number };
  connections: Record<string, Sockets>;
  state: { endpoints: number; sources: number; overflow: number; sketch_pages_refused: number; late: number; skewed: number; clock_off_s: number };
}

/* ---- /metrics, of which a few are read ---- */

type Metrics = (name: string) => number | null;

function readMetrics(text: string | null): Metrics {
  const sums = new Map<string, number>();
  for (const line of (text ?? '').split('\n')) {
    const found = /^([a-z_]+)(?:\{[^}]*\})? (\S+)/.exec(line);
    if (found?.[1]) sums.set(found[1], (sums.get(found[1]) ?? 0) + Number(found[2]));
  }
  return (name) => sums.get(name) ?? null;
}

/* ---- what came in and what became of it ---- */

const TERMS = ['recorded', 'duplicate', 'rejected', 'in_flight'] as const;
const WORDS: Record<(typeof TERMS)[number], string> = { recorded: 'recorded', duplicate: 'known already', rejected: 'rejected', in_flight: 'on the way' };

function missing(t: Terms): number {
  return t.received - t.recorded - t.duplicate - t.rejected - t.in_flight;
}

function sum(transports: Record<string, Terms>): Terms {
  const all: Terms = { received: 0, recorded: 0, duplicate: 0, rejected: 0, in_flight: 0, refused: 0 };
  for (const t of Object.values(transports)) for (const k of Object.keys(all) as (keyof Terms)[]) all[k] += t[k];
  return all;
}

function Conservation({ h }: { h: Health }): JSX.Element {
  const all = sum(h.transports);
  const off = missing(all);
  const used = Object.entries(h.transports).filter(([, t]) => t.received + t.refused > 0);
  return (
    <Panel title="What came in, since the start, and what became of it">
      <p class="equation num">
        <span>
          {count(all.received)}
          <small>received</small>
        </span>
        <i>=</i>
        {TERMS.map((k, i) => (
          <>
            {i > 0 && <i>+</i>}
            <span class={k === 'rejected' && all[k] > 0 ? 'fail' : ''}>
              {count(all[k])}
              <small>{WORDS[k]}</small>
            </span>
          </>
        ))}
        {off !== 0 && (
          <>
            <i>+</i>
            <span class="fail">
              {count(off)}
              <small>not accounted for</small>
            </span>
          </>
        )}
      </p>
      {used.length > 0 && (
        <Table
          label="what came in by each way"
          rows={used}
          id={([name]) => name}
          columns={[
            { head: 'by way of', cell: ([name]) => name },
            { head: 'received', right: true, cell: ([, t]) => <Num v={t.received} /> },
            ...TERMS.map((k) => ({ head: WORDS[k], right: true, class: k === 'in_flight' ? 'mid' : '', cell: ([, t]: [string, Terms]) => <Num v={t[k]} /> })),
            { head: 'refused', right: true, class: 'mid', title: 'turned away before it was read', cell: ([, t]) => <Num v={t.refused} /> },
          ]}
        />
      )}
    </Panel>
  );
}

/* ---- what is wrong ---- */

function problems(h: Health, summary: Summary | null): string[] {
  const found: string[] = [];
  const say = (n: number | undefined, text: (n: number) => string): void => void (n && found.push(text(n)));
  if (live.value && !live.value.ready) found.push(`Not ready: ${live.value.reasons.join('; ')}.`);
  const off = missing(sum(h.transports));
  if (off > 0) found.push(`${many(off, 'op')} received, of which nobody knows what became.`);
  say(h.journal?.failures, (n) => `The journal failed to be written ${many(n, 'time')}.`);
  say(h.journal?.bad_rows, (n) => `${many(n, 'row')} of the journal could not be read.`);
  say(h.clusters.lost, (n) => `${many(n, 'failure')} could not be put into a kind.`);
  say(h.access.audit_lost, (n) => `${many(n, 'row')} of the audit were lost.`);
  say(h.access.broken, () => 'The key file is broken: the last good keys are in use.');
  if (h.tls.problem) found.push(`TLS: ${h.tls.problem}.`);
  for (const [name, c] of Object.entries(h.learn?.calls ?? {}))
    if (c.breaker === 'open') found.push(`Calls to the ${name} have failed too often: none is made for a while.`);
  for (const c of summary?.clocks ?? []) found.push(`The clock of source ${c.source} is ${span(Math.abs(c.behind_ms))} ${c.behind_ms > 0 ? 'behind' : 'ahead'}.`);
  if (h.state.clock_off_s) found.push(`The daemon's own clock went back by ${span(h.state.clock_off_s * 1000)}.`);
  return found;
}

function Judgement({ h, summary }: { h: Health; summary: Summary | null }): JSX.Element {
  const found = problems(h, summary);
  return (
    <section class="sentence">
      <h1>{found.length ? `Look at ${found.length === 1 ? 'this' : 'these'} before you trust the numbers:` : 'The numbers can be trusted: all that came in is accounted for.'}</h1>
      {found.length > 0 && (
        <ul class="problems">
          {found.map((f) => (
            <li>
              <Text s={f} max={300} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/* ---- the rest ---- */

/** Terms and what they are; null leaves one out. */
function Pairs({ of }: { of: [string, ComponentChildren | null][] }): JSX.Element {
  return (
    <dl class="pairs">
      {of
        .filter(([, v]) => v !== null)
        .map(([name, v]) => (
          <>
            <dt>{name}</dt>
            <dd class="num">{v}</dd>
          </>
        ))}
    </dl>
  );
}

function limits(h: Health): [string, ComponentChildren][] {
  const reached: [string, number][] = [
    ['names counted as “(other)”', h.state.overflow],
    ['durations without a sketch', h.state.sketch_pages_refused],
    ['kinds of failure forgotten', h.clusters.forgotten],
    ['repeated tasks forgotten', h.clusters.repeats_forgotten],
    ['ops that feed subscribers missed', h.feed.dropped],
    ['ops the feed itself lost', h.feed.lost],
    ['rejected messages not kept', h.journal?.rejected_dropped ?? 0],
    ['learning cycles missed', h.learn?.missed_cycles ?? 0],
    ['clients slowed down for wrong keys', h.access.limited],
    ...Object.entries(h.connections).map(([name, c]): [string, number] => [`connections refused at ${name}`, c.refused]),
    ...Object.entries(h.connections).map(([name, c]): [string, number] => [`idle connections closed for others at ${name}`, c.evicted]),
  ];
  return reached.filter(([, n]) => n > 0).map(([name, n]) => [name, count(n)]);
}

function Details({ h, m }: { h: Health; m: Metrics }): JSX.Element {
  const j = h.journal;
  const syncs = m('observer_fsync_seconds_count');
  const queue = m('observer_commit_queue_bytes');
  const free = m('observer_journal_free_bytes');
  const redacted = Object.values(h.redaction.redacted).reduce((a, b) => a + b, 0);
  const reached = limits(h);
  return (
    <div class="system-grid">
      <Panel title="Recording">
        <Pairs
          of={[
            ['last op', count(h.seq)],
            ['journal', j ? `${bytes(j.bytes)} in ${many(j.segments, 'file')}` : 'none: ephemeral'],
            ['free on its disk', free === null ? null : bytes(free)],
            ['ops a sync', j && j.syncs ? (h.seq / j.syncs < 10 ? (h.seq / j.syncs).toFixed(1) : count(h.seq / j.syncs)) : null],
            ['a sync takes, mean', syncs ? millis(((m('observer_fsync_seconds_sum') ?? 0) / syncs) * 1000) : null],
            ['waiting to be written', queue === null ? null : bytes(queue)],
            ['late ops', count(h.state.late)],
            ['redacted', `${count(redacted)} (${h.redaction.kinds})`],
          ]}
        />
      </Panel>
      <Panel title="Limits reached">{reached.length ? <Pairs of={reached} /> : <p class="quiet">None.</p>}</Panel>
      <Panel title="Connections">
        <Pairs of={Object.entries(h.connections).filter(([, c]) => c.accepted > 0).map(([name, c]) => [name, `${count(c.open)} open, ${count(c.accepted)} since the start`])} />
        <Pairs of={[['feed subscribers', count(h.feed.subscribers)], ['feed messages', count(h.feed.messages)]]} />
      </Panel>
      <Panel title="Learning">
        <Pairs
          of={[
            ['analyser', h.learn?.analyser ?? 'none'],
            ['cycles', h.learn ? count(h.learn.cycles) : null],
            ['kinds of failure held', count(h.clusters.held)],
            ['tasks that repeat', count(h.clusters.repeats)],
            ...Object.entries(h.learn?.calls ?? {})
              .filter(([, c]) => typeof c.calls === 'number' && c.calls > 0)
              .map(([name, c]): [string, ComponentChildren] => [`calls to the ${name}`, `${count(c.calls)}, ${count(c.failed)} failed`]),
          ]}
        />
      </Panel>
      <Panel title="Who may ask">
        <Pairs
          of={[
            ['keys', h.access.key_file === 'none' ? 'no key file: open' : `${count(h.access.keys)} (${h.access.key_file})`],
            ['refused', count(h.access.denied)],
            ['certificate', h.tls.expires ? <Ago t={h.tls.expires} /> : 'no TLS'],
          ]}
        />
      </Panel>
      <Panel title="This daemon">
        <Pairs
          of={[
            ['version', h.version],
            ['up for', span(h.uptime_s * 1000)],
            ['data', h.data_dir ?? 'none'],
            ...Object.entries(h.urls).flatMap(([name, urls]) => urls.map((u): [string, ComponentChildren] => [name, u])),
          ]}
        />
      </Panel>
    </div>
  );
}

export function System(): JSX.Element {
  const health = useData<Health>('/health');
  const summary = useData<Summary>('summary');
  const metrics = useData<string>('/metrics', { text: true });
  return (
    <Asked data={health} rows={10}>
      {(h) => (
        <>
          <Judgement h={h} summary={summary.value} />
          {h.fleet && <Fleet />}
          <Conservation h={h} />
          <Details h={h} m={readMetrics(metrics.value)} />
        </>
      )}
    </Asked>
  );
}
