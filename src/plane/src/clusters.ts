// What follows from a cluster's numbers. Pure.
import type { ClusterRow, Counts } from './types';

const OTHER = '(other)';

/** The names of a set, the commonest first; those that stand for others last. */
export function ranked(counts: Counts): [string, number][] {
  return Object.entries(counts).sort(([a, n], [b, m]) => Number(a === OTHER) - Number(b === OTHER) || m - n);
}

/** Since when it fails, this time. */
export function failsSince(c: ClusterRow): string {
  return (c.state === 'regressed' && c.regressed_at) || c.first_seen;
}
