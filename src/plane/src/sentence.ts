// How the fleet is, in one sentence, from what the daemon says. Pure: what is shown of it is made in views/overview.tsx.
import { failsSince, ranked } from './clusters';
import type { ClusterRow, Live, Summary, Tally } from './types';

/** Below this, of an endpoint's last five minutes too little is known to say anything. */
const LEAST_OPS = 10;
/** From here on an endpoint fails, whatever was before. */
const FAILS_FROM = 0.03;
/** How much worse than before is worse: twice as often, and further off than chance explains: four standard errors of the
 * difference, for it is looked at every few seconds, of every endpoint. */
const TIMES = 2;
const ERRORS = 4;

export interface Failing {
  endpoint: string;
  ops: number;
  failures: number;
  share: number;
  more: boolean;
}

interface Before {
  ops: number;
  failures: number;
}

/** What came before the window: `all` without `now`. Null: too little is known of it. */
function beforeOf(all: Tally | undefined, now: Tally): Before | null {
  const ops = (all?.total ?? 0) - now.total;
  return ops >= LEAST_OPS * 5 ? { ops, failures: Math.max(0, (all?.failures ?? 0) - now.failures) } : null;
}

function isMore(now: Tally, before: Before | null): boolean {
  if (before === null) return false;
  const more = now.failures / now.total - before.failures / before.ops;
  const both = (now.failures + before.failures) / (now.total + before.ops);
  const error = Math.sqrt(both * (1 - both) * (1 / now.total + 1 / before.ops));
  return now.failures / now.total > TIMES * (before.failures / before.ops) && more > ERRORS * error;
}

/** The endpoints that fail now, over the last five minutes: those that fail more than before first, then by failures. What has
 * not failed in the last minute is over. Where nothing is known of what was before five minutes, as after a first start, the last
 * minute is compared with the four before it. */
export function failing(s: Summary): Failing[] {
  const hour = s.windows['1h'];
  const found: Failing[] = [];
  for (const [endpoint, now] of Object.entries(s.windows['5m'].by_endpoint)) {
    const share = now.failures / Math.max(1, now.total);
    if (now.total < LEAST_OPS || share < FAILS_FROM) continue;
    const minute = s.windows['1m'].by_endpoint[endpoint];
    const known = minute !== undefined && minute.total >= LEAST_OPS;
    if (known && minute.failures / minute.total < FAILS_FROM) continue;
    const before = beforeOf(hour.by_endpoint[endpoint], now);
    const more = before === null && known ? isMore(minute, beforeOf(now, minute)) : isMore(now, before);
    found.push({ endpoint, ops: now.total, failures: now.failures, share, more });
  }
  return found.sort((a, b) => Number(b.more) - Number(a.more) || b.failures - a.failures);
}

export type Verdict =
  | { kind: 'unknown' } // nothing was answered yet
  | { kind: 'empty' } // nothing was ever recorded
  | { kind: 'stale'; since: string | null } // nothing was recorded for a while: how it is now, nobody knows
  | { kind: 'stopped'; reason: string } // nothing can be recorded
  | { kind: 'failing'; endpoints: number; more: boolean; worst: Failing; cluster: ClusterRow | null; since: string | null }
  | { kind: 'changed'; cluster: ClusterRow; others: number } // nothing fails much, but something new does
  | { kind: 'well'; ops: number; failures: number; minutes: number };

/** The kind of failure that costs most at an endpoint; clusters come ordered by impact. */
function worstAt(clusters: ClusterRow[], endpoint: string): ClusterRow | null {
  const here = clusters.filter((c) => c.state !== 'resolved' && c.last_hour > 0 && endpoint in c.endpoints);
  return here.find((c) => ranked(c.endpoints)[0]?.[0] === endpoint) ?? here[0] ?? null;
}

/** Of those that fail, the one whose kind of failure costs most comes first. */
function worstOf(found: Failing[], clusters: ClusterRow[]): Failing | undefined {
  for (const c of clusters) {
    if (c.state === 'resolved' || c.last_minute === 0) continue;
    const at = found.find((f) => f.endpoint === ranked(c.endpoints)[0]?.[0]);
    if (at) return at;
  }
  return found[0];
}

export function verdict(live: Live | null, stale: boolean, summary: Summary | null, clusters: ClusterRow[] | null): Verdict {
  if (!live) return { kind: 'unknown' };
  if (!live.ready) return { kind: 'stopped', reason: live.reasons.join('; ') };
  if (live.totals.ops === 0) return { kind: 'empty' };
  if (stale) return { kind: 'stale', since: live.last_op };
  if (!summary || !clusters) return { kind: 'unknown' };
  const all = failing(summary);
  const more = all.filter((f) => f.more);
  const counted = more.length ? more : all;
  const worst = worstOf(counted, clusters);
  if (worst) {
    const cluster = worstAt(clusters, worst.endpoint);
    return { kind: 'failing', endpoints: counted.length, more: more.length > 0, worst, cluster, since: cluster && failsSince(cluster) };
  }
  const changed = clusters.filter((c) => (c.state === 'new' || c.state === 'regressed') && c.last_hour > 0);
  if (changed[0]) return { kind: 'changed', cluster: changed[0], others: changed.length - 1 };
  const five = live.windows['5m'];
  const w = five.ops >= LEAST_OPS ? five : live.windows['1h'];
  return { kind: 'well', ops: w.ops, failures: w.failures, minutes: w === five ? 5 : 60 };
}
