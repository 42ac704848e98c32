// Runs to choose from: what the last ops of each were, and the list of them.
import type { JSX } from 'preact';
import { Ago, Text } from '../parts/values';
import { many } from '../text';
import type { Op } from '../types';

/** A session, a cycle, an agent or a task, as the ops that were looked at show it. */
export interface Run {
  value: string;
  ops: number;
  failures: number;
  last: string | number;
}

export function newRun(value: string, first: Op): Run {
  return { value, ops: 0, failures: 0, last: first.timestamp };
}

/** The run with one more op of it. */
export function tally(run: Run, op: Op): void {
  run.ops += 1;
  if (!op.success) run.failures += 1;
  if (op.timestamp > run.last) run.last = op.timestamp;
}

interface Props<R extends Run> {
  list: R[];
  /** What stands in front of its name. */
  lead: (run: R) => JSX.Element;
  link: (run: R) => string;
}

export function Runs<R extends Run>({ list, lead, link }: Props<R>): JSX.Element {
  return (
    <ul class="starts">
      {list.map((r) => (
        <li key={link(r)}>
          <a href={link(r)} data-row>
            {lead(r)}
            <span class="one-line">
              <Text s={r.value} max={80} />
            </span>
            <span class={`num ${r.failures ? 'fail' : 'quiet'}`}>{many(r.failures, 'failure')}</span>
            <span class="quiet">
              <Ago t={r.last} ago />
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}
