// Which numbers are off, and what they mean: each with where it comes from, what is good, and what to do where it is not.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { key, query } from '../api';
import { useData } from '../data';
import { Spark } from '../parts/drawn';
import { Failed, Waiting } from '../parts/panels';
import { href, route } from '../router';
import { answeredAt, live, moved } from '../store';
import { count, millis, percent, rate } from '../text';
import type { History, HistoryPoint, Live, WindowName } from '../types';
import { Choice, chosen } from './side';
import './metrics.css';

const WINDOWS = [
  ['1m', '1 min'],
  ['5m', '5 min'],
  ['1h', '1 h'],
  ['24h', '24 h'],
] as const;
type Span = (typeof WINDOWS)[number][0];
const SECONDS: Record<Span, number> = { '1m': 60, '5m': 300, '1h': 3_600, '24h': 86_400 };

type Balance = Record<'received' | 'recorded' | 'duplicate' | 'rejected' | 'in_flight' | 'refused', number>;

/** What is read here of /v1/observer/health. */
interface Health {
  seq: number;
  uptime_s: number;
  transports: Record<string, Balance>;
  access: { denied: number };
  feed: { dropped: number };
  learn: { cycles: number; missed_cycles: number; analysed_through: number; calls: Record<string, { failed?: number; calls?: number; breaker?: string }> };
  journal: { failures: number; bad_rows: number };
  state: { overflow: number; late: number; clock_off_s: number };
  clusters: { lost: number };
}

/** All that a card may look at. */
interface Seen {
  live: Live;
  history: History;
  health: Health;
  span: Span;
}

interface Card {
  name: string;
  value: (s: Seen) => number | null;
  says: (v: number) => string;
  /** Its course; without one it is drawn from what was seen while the page was open. */
  course?: (p: HistoryPoint, step_s: number) => number | null;
  from: readonly [route: string, field: string];
  prometheus: string;
  good: string;
  bad: (v: number, s: Seen) => boolean;
  otherwise: string;
  /** The view that tells more. */
  leads?: () => string;
}

function balance(h: Health): Balance {
  const sum: Balance = { received: 0, recorded: 0, duplicate: 0, rejected: 0, in_flight: 0, refused: 0 };
  for (const t of Object.values(h.transports)) for (const name of Object.keys(sum) as (keyof Balance)[]) sum[name] += t[name] ?? 0;
  return sum;
}

/** The middle of a course without its last step, which is under way; null while there are too few to call anything usual. */
function usual(s: Seen, of: (p: HistoryPoint, step_s: number) => number | null): number | null {
  const known = s.history.points
    .slice(0, -1)
    .map((p) => of(p, s.history.step_s))
    .filter((v): v is number => v !== null && v > 0)
    .sort((a, b) => a - b);
  return known.length < 10 ? null : (known[known.length >> 1] ?? null);
}

const perSecond = (p: HistoryPoint, step_s: number): number | null => p.ops / step_s;
const failed = (p: HistoryPoint): number | null => (p.ops ? p.failures / p.ops : null);

interface Totals {
  ops: number;
  failures: number;
}

/** Counts of the chosen time. */
function totals(s: Seen): Totals {
  if (s.span !== '24h') return s.live.windows[s.span as WindowName];
  return s.history.points.reduce<Totals>((sum, p) => ({ ops: sum.ops + p.ops, failures: sum.failures + p.failures }), { ops: 0, failures: 0 });
}

/** How long was recorded of the chosen time. */
function seconds(s: Seen): number {
  const first = s.history.points.find((p) => p.ops > 0);
  const known = first ? (Date.parse(s.history.now) - Date.parse(first.t)) / 1_000 : 0;
  return Math.max(1, Math.min(SECONDS[s.span], known || SECONDS[s.span]));
}

type Quantile = 'p50_ms' | 'p95_ms' | 'p99_ms';

function quantile(q: Quantile, words: string): Card {
  return {
    name: `Time, ${words}`,
    value: (s) => {
      if (s.span !== '24h') return s.live.windows[s.span as WindowName][q];
      const known = s.history.points.map((p) => p[q]).filter((v): v is number => v !== null);
      return known.length ? Math.max(...known) : null;
    },
    says: millis,
    course: (p) => p[q],
    from: ['live', `windows.*.${q}`],
    prometheus: 'observer_op_duration_seconds',
    good: 'less than twice its usual; over 24 h it is the highest of ten minutes',
    bad: (v, s) => s.span !== '24h' && v > 2 * (usual(s, (p) => p[q]) ?? Infinity),
    otherwise: 'see on the map which endpoint is slower than its own last day',
    leads: () => href('map', [], { overlay: 'latency' }),
  };
}

const GROUPS: readonly (readonly [string, readonly Card[]])[] = [
  [
    'The fleet',
    [
      {
        name: 'Ops a second',
        value: (s) => totals(s).ops / seconds(s),
        says: (v) => `${rate(v)}/s`,
        course: perSecond,
        from: ['live', 'windows.*.ops'],
        prometheus: 'observer_ops_total',
        good: 'between half and twice the usual',
        bad: (v, s) => {
          const u = usual(s, perSecond);
          return u !== null && (v < u / 2 || v > u * 2);
        },
        otherwise: 'a producer has stopped, or one runs away: the map shows which',
        leads: () => href('map', [], { overlay: 'volume' }),
      },
      {
        name: 'Failed',
        value: (s) => (totals(s).ops ? totals(s).failures / totals(s).ops : null),
        says: percent,
        course: failed,
        from: ['live', 'windows.*.failures'],
        prometheus: 'observer_ops_total',
        good: 'under 5 %',
        bad: (v) => v >= 0.05,
        otherwise: 'the kinds of failure, ordered by what they cost, say of what',
        leads: () => href('failures'),
      },
      quantile('p50_ms', 'median'),
      quantile('p95_ms', '95 of 100'),
      quantile('p99_ms', '99 of 100'),
      {
        name: 'New and returned failures',
        value: (s) => (s.live.clusters ? s.live.clusters.new + s.live.clusters.regressed : null),
        says: count,
        from: ['live', 'clusters'],
        prometheus: 'observer_clusters',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'something began to fail in a way that was not there, or had gone',
        leads: () => href('failures'),
      },
      {
        name: 'Alerts firing',
        value: (s) => s.live.alerts?.firing ?? null,
        says: count,
        from: ['live', 'alerts.firing'],
        prometheus: 'observer_alerts',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'each says what it is, since when, and by how much',
        leads: () => href('alerts'),
      },
    ],
  ],
  [
    'Recording, since the daemon began',
    [
      {
        name: 'Unaccounted for',
        value: (s) => {
          const b = balance(s.health);
          return b.received - b.recorded - b.duplicate - b.rejected - b.in_flight;
        },
        says: count,
        from: ['health', 'transports'],
        prometheus: 'observer_intake_ops_received_total',
        good: '0: received is recorded, duplicate, rejected or in flight',
        bad: (v) => v !== 0,
        otherwise: 'for more than a moment it is a fault of the daemon: please report it',
        leads: () => href('system'),
      },
      {
        name: 'Rejected',
        value: (s) => (balance(s.health).received ? balance(s.health).rejected / balance(s.health).received : null),
        says: percent,
        from: ['health', 'transports.*.rejected'],
        prometheus: 'observer_intake_ops_rejected_total',
        good: 'under 1 %',
        bad: (v) => v >= 0.01,
        otherwise: '`observerctl rejected` shows what was refused and why, and replays it when the cause is mended',
      },
      {
        name: 'In flight',
        value: (s) => balance(s.health).in_flight,
        says: count,
        from: ['health', 'transports.*.in_flight'],
        prometheus: 'observer_intake_ops_in_flight',
        good: 'under 10,000',
        bad: (v) => v >= 10_000,
        otherwise: 'the disk does not keep up with what comes in',
        leads: () => href('system'),
      },
      {
        name: 'Failed writes',
        value: (s) => s.health.journal.failures,
        says: count,
        from: ['health', 'journal.failures'],
        prometheus: 'observer_journal_failures_total',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'the disk was full or failed; nothing that was acknowledged is lost',
        leads: () => href('system'),
      },
      {
        name: 'Bad rows',
        value: (s) => s.health.journal.bad_rows,
        says: count,
        from: ['health', 'journal.bad_rows'],
        prometheus: 'observer_journal_bad_rows_total',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'rows of the journal could not be read; they are kept in `bad-rows.jsonl`, and the log names file and line',
      },
      {
        name: 'Names beyond the limits',
        value: (s) => s.health.state.overflow,
        says: count,
        from: ['health', 'state.overflow'],
        prometheus: 'observer_names_overflow_total',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'ids stand in the names of endpoints or sources; those beyond the limit are counted as (other)',
      },
      {
        name: 'Late',
        value: (s) => s.health.state.late,
        says: count,
        from: ['health', 'state.late'],
        prometheus: 'observer_ops_late_total',
        good: '0, but for a spool or a backfill',
        bad: () => false,
        otherwise: 'they are recorded and counted in their place, and raise no alarm',
      },
      {
        name: 'Dropped for slow subscribers',
        value: (s) => s.health.feed.dropped,
        says: count,
        from: ['health', 'feed.dropped'],
        prometheus: 'observer_feed_dropped_ops_total',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'a subscriber of the feed reads too slowly; the journal has all',
      },
      {
        name: 'Refused for their key',
        value: (s) => s.health.access.denied,
        says: count,
        from: ['health', 'access.denied'],
        prometheus: 'observer_auth_denied_total',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'somebody uses no key or a wrong one: `audit.jsonl` says from where',
      },
    ],
  ],
  [
    'Learning',
    [
      {
        name: 'Not looked at yet',
        value: (s) => Math.max(0, s.health.seq - s.health.learn.analysed_through),
        says: (v) => `${count(v)} ops`,
        from: ['health', 'learn.analysed_through'],
        prometheus: 'observer_analysed_through_seq',
        good: 'what one cycle brings',
        bad: (v, s) => s.health.learn.cycles > 0 && v > 3 * Math.max(1_000, (s.health.seq / Math.max(1, s.health.learn.cycles)) * 2),
        otherwise: 'the cycle takes longer than it should; advice is behind by so much',
      },
      {
        name: 'Missed cycles',
        value: (s) => s.health.learn.missed_cycles,
        says: count,
        from: ['health', 'learn.missed_cycles'],
        prometheus: 'observer_learn_cycles_total',
        good: '0',
        bad: (v) => v > 0,
        otherwise: 'a cycle took longer than `--cycle`: a model that answers slowly, or too little processor',
      },
      {
        name: 'Failed calls of models and teams',
        value: (s) => Object.values(s.health.learn.calls).reduce((sum, c) => sum + (c.failed ?? 0), 0),
        says: count,
        from: ['health', 'learn.calls'],
        prometheus: 'observer_outbound_calls_total',
        good: '0',
        bad: (v, s) => v > 0 && Object.values(s.health.learn.calls).some((c) => c.breaker !== undefined && c.breaker !== 'closed'),
        otherwise: 'the builtin diagnosis stands alone while a model does not answer; the log has the reason',
      },
    ],
  ],
];

/** Names of Prometheus that cards show. */
export const METRICS = GROUPS.flatMap(([, cards]) => cards.map((c) => c.prometheus));

const KEPT = 60;
/** The course of what has none of its own, while the page is open. */
const courses = new Map<string, number[]>();

function remember(s: Seen): void {
  for (const [, cards] of GROUPS)
    for (const card of cards) {
      if (card.course) continue;
      const v = card.value(s);
      if (v === null) continue;
      const list = courses.get(card.name) ?? [];
      list.push(v);
      if (list.length > KEPT) list.shift();
      courses.set(card.name, list);
    }
}

/** A name that leads to its route, broken at its joints where it is too long. A link cannot carry the key. */
function Where({ path, children }: { path: string; children: string }): JSX.Element {
  const name = (
    <code>
      {children.split(/(?<=[_.])/).map((part) => (
        <>
          {part}
          <wbr />
        </>
      ))}
    </code>
  );
  return key.value ? (
    name
  ) : (
    <a href={path} target="_blank" rel="noreferrer">
      {name}
    </a>
  );
}

/** Words in which `what is typed` stands out. */
function Words({ children }: { children: string }): JSX.Element {
  return <>{children.split('`').map((part, i) => (i % 2 ? <code>{part}</code> : part))}</>;
}

function One({ card, seen }: { card: Card; seen: Seen }): JSX.Element {
  const v = card.value(seen);
  const bad = v !== null && card.bad(v, seen);
  const course = card.course ? seen.history.points.map((p) => card.course?.(p, seen.history.step_s) ?? null) : (courses.get(card.name) ?? []);
  const flat = !card.course && course.every((x) => x === 0);
  const over = card.course ? (seen.span === '24h' ? '24 hours' : '1 hour') : 'the time since this page was opened';
  return (
    <article class={`card ${bad ? 'is-bad' : ''}`}>
      <header>
        <h3>{card.leads ? <a href={card.leads()}>{card.name}</a> : card.name}</h3>
        {bad && <span class="state is-fail">look here</span>}
      </header>
      <div class="card-value">
        <b class={`num ${bad ? 'fail' : ''}`}>{v === null ? '–' : card.says(v)}</b>
        {course.length > 1 && !flat && <Spark values={course} width={110} height={28} label={`${card.name} over ${over}`} fail={bad} />}
      </div>
      <dl>
        <dt>source</dt>
        <dd>
          <Where path={`/v1/observer/${card.from[0]}`}>{`${card.from[0]}: ${card.from[1]}`}</Where>
        </dd>
        <dd class="card-prometheus">
          <Where path="/metrics">{card.prometheus}</Where>
        </dd>
        <dt>good</dt>
        <dd>
          <Words>{card.good}</Words>
        </dd>
        <dt>if not</dt>
        <dd class={bad ? 'card-otherwise' : ''}>
          <Words>{card.otherwise}</Words>
        </dd>
      </dl>
    </article>
  );
}

export function Metrics(): JSX.Element {
  const { params } = route.value;
  const span = chosen(WINDOWS, params.window, '5m');
  const history = useData<History>(query('history', { window: span === '24h' ? '24h' : '1h' }));
  const health = useData<Health>('health');
  const [, turn] = useState(0);
  const l = live.value;
  const seen: Seen | null = l && history.value && health.value ? { live: l, history: history.value, health: health.value, span } : null;
  useEffect(() => {
    if (!seen) return;
    remember(seen);
    turn((n) => n + 1);
  }, [health.at, seen === null]);
  void moved.value;
  void answeredAt.value;
  const error = history.error ?? health.error;
  return (
    <div class="view-metrics">
      <div class="toolbar">
        <Choice label="window" param="window" options={WINDOWS} value={span} otherwise="5m" />
        <span class="quiet">Counts of the fleet are of this time; those of the daemon since it began.</span>
      </div>
      {!seen && (error ? <Failed error={error} reload={history.error ? history.reload : health.reload} /> : <Waiting rows={9} />)}
      {seen &&
        GROUPS.map(([title, cards]) => (
          <section>
            <h2>{title}</h2>
            <div class="cards">
              {cards.map((card) => (
                <One key={card.name} card={card} seen={seen} />
              ))}
            </div>
          </section>
        ))}
    </div>
  );
}
