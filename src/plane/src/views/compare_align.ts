// Two timelines step by step: which step of one stands beside which of the other, and in what they differ. Pure.
//
// Steps are paired in order so that as many as possible stand beside one of the same sort (the same endpoint, or both a wait,
// both a correction), and among those as many as possible beside one of the same outcome.
import { count, millis, span } from '../text';
import { type IdleRow, type OpRow, type Row, type RunRow, isWork } from './trace_layout';

export interface Difference {
  /** `step`: one has it, the other has not. `outcome`: succeeded here, failed there, or failed in another way. */
  kind: 'step' | 'outcome' | 'times' | 'time';
  words: string;
}

export interface Pair {
  left: Row | null;
  right: Row | null;
  differences: Difference[];
}

/** A difference of time counts from twice as long on, and from this on. */
const TIMES = 2;
const LEAST_MS = 100;

const SAME = 4;
const OTHER_OUTCOME = 3;
const NO_WORK = 1;

const sort = (r: Row): string => (isWork(r) ? `${r.endpoint}\t${r.event_kind ?? ''}` : r.kind);

/** What it is worth that they stand beside each other; 0: they cannot. */
function worth(a: Row, b: Row): number {
  if (sort(a) !== sort(b)) return 0;
  if (!isWork(a) || !isWork(b)) return NO_WORK;
  return a.success === b.success ? SAME : OTHER_OUTCOME;
}

function slower(a: number, b: number): string | null {
  const [less, more] = a < b ? [a, b] : [b, a];
  if (more - less < LEAST_MS || more < TIMES * less) return null;
  const times = less > 0 ? more / less : Infinity;
  return times > 99 ? 'much longer' : `${times.toFixed(times < 9.95 ? 1 : 0)}× as long`;
}

const times = (r: OpRow | RunRow): number => (r.kind === 'run' ? r.count : 1);

function work(a: OpRow | RunRow, b: OpRow | RunRow): Difference[] {
  const found: Difference[] = [];
  if (a.success !== b.success) found.push({ kind: 'outcome', words: a.success ? 'fails right' : 'fails left' });
  else if (!a.success && a.cluster !== b.cluster) found.push({ kind: 'outcome', words: 'fails otherwise' });
  if (times(a) !== times(b)) found.push({ kind: 'times', words: `×${count(times(a))}, ×${count(times(b))}` });
  const long = slower(a.duration_ms / times(a), b.duration_ms / times(b));
  if (long) found.push({ kind: 'time', words: long });
  return found;
}

function differences(a: Row | null, b: Row | null): Difference[] {
  if (!a || !b) return [{ kind: 'step', words: a ? 'only left' : 'only right' }];
  if (isWork(a) && isWork(b)) return work(a, b);
  const long = a.kind === 'idle' ? slower(a.duration_ms, (b as IdleRow).duration_ms) : null;
  return long ? [{ kind: 'time', words: long }] : [];
}

/** The pairs, in order. What it costs grows with the product of both lengths. */
export function align(left: Row[], right: Row[]): Pair[] {
  const wide = right.length + 1;
  // What the rest of both from here on is worth at best.
  const best = new Float64Array((left.length + 1) * wide);
  const at = (i: number, j: number): number => best[i * wide + j] ?? 0;
  const beside = (i: number, j: number): number => worth(left[i] as Row, right[j] as Row);
  for (let i = left.length - 1; i >= 0; i--)
    for (let j = right.length - 1; j >= 0; j--) {
      const both = beside(i, j);
      best[i * wide + j] = Math.max(both > 0 ? both + at(i + 1, j + 1) : 0, at(i + 1, j), at(i, j + 1));
    }
  const pairs: Pair[] = [];
  const add = (a: Row | null, b: Row | null): void => void pairs.push({ left: a, right: b, differences: differences(a, b) });
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    const [a, b] = [left[i] ?? null, right[j] ?? null];
    const both = a && b ? beside(i, j) : 0;
    if (both > 0 && at(i, j) === both + at(i + 1, j + 1)) add(a, b), i++, j++;
    else if (a && (!b || at(i, j) === at(i + 1, j))) add(a, null), i++;
    else add(null, b), j++;
  }
  return pairs;
}

/** Whether steps or outcomes differ: another duration alone is no other course. */
export const goesApart = (p: Pair): boolean => p.differences.some((d) => d.kind !== 'time');

const name = (r: Row): string => (isWork(r) ? (r.endpoint ?? 'an op') : r.kind === 'idle' ? `a wait of ${span(r.duration_ms)}` : `a ${r.kind}`);

/** Where they part, in words that end a sentence; the name of the step may be anybody's text. */
export function parting(p: Pair): { step: string; words: string } {
  const { left: a, right: b } = p;
  if (!a || !b) return { step: name((a ?? b) as Row), words: `stands only on the ${a ? 'left' : 'right'}` };
  if (isWork(a) && isWork(b) && a.success !== b.success) {
    const does = (r: OpRow | RunRow, side: string): string => `${r.success ? 'succeeds' : 'fails'} on the ${side} ${r.success ? 'in' : 'after'} ${millis(r.duration_ms / times(r))}`;
    return { step: name(a), words: `${does(a, 'left')} and ${does(b, 'right')}` };
  }
  if (isWork(a) && isWork(b) && times(a) !== times(b)) return { step: name(a), words: `is done ${count(times(a))} times on the left and ${count(times(b))} on the right` };
  return { step: name(a), words: 'fails in another way' };
}
