// Recorded ops: one line each, opened to all that was recorded.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { to } from '../router';
import { visible } from '../text';
import type { RecordedOp } from '../types';
import { Clock, Ms, Text } from './values';

/** What leads on from an op: the member, the view, and how that calls it. */
const LEADS: [string, string, string][] = [
  ['session_id', 'trace', 'session'],
  ['cycle_id', 'trace', 'cycle'],
  ['staffer_id', 'trace', 'staffer'],
  ['sig_hash', 'trajectory', 'task'],
  ['task_class', 'trajectory', 'class of tasks'],
];

/** JSON as it was recorded; what is not to be seen in it is named. Lines stay lines. */
export function Raw({ value }: { value: unknown }): JSX.Element {
  return (
    <pre class="raw">
      {JSON.stringify(value, null, 2)
        .split('\n')
        .map((line, i) => (
          <>
            {i > 0 && '\n'}
            {visible(line).map((p) => (p.code ? <span class="unseen">{p.text}</span> : p.text))}
          </>
        ))}
    </pre>
  );
}

export function OpFacts({ op }: { op: RecordedOp['op'] }): JSX.Element {
  return (
    <div class="op-facts">
      {LEADS.filter(([name]) => typeof op[name] === 'string').map(([name, view, label]) => (
        <span>
          {label}{' '}
          <a href={to(view, [], { [name]: String(op[name]) })}>
            <Text s={String(op[name])} max={48} />
          </a>
        </span>
      ))}
    </div>
  );
}

/** One line; it opens to the row as it is in the journal. */
export function OpRow({ r, open = false }: { r: RecordedOp; open?: boolean }): JSX.Element {
  const [shown, show] = useState(open);
  const o = r.op;
  return (
    <details class="op-row" open={shown} onToggle={(e) => show(e.currentTarget.open)}>
      <summary data-row="">
        <Clock t={o.timestamp} seconds />
        <span class="num quiet">{r.seq}</span>
        <span class="one-line">
          <Text s={o.endpoint} max={60} />
          {o.staffer_id && <span class="quiet mid"> <Text s={o.staffer_id} max={40} /></span>}{' '}
          <span class={o.success ? 'quiet' : 'fail'}>
            <Text s={o.error ?? o.output_summary} max={200} />
          </span>
        </span>
        <span class="right">
          <Ms v={o.duration_ms} />
        </span>
      </summary>
      {shown && (
        <>
          <OpFacts op={o} />
          <Raw value={o} />
        </>
      )}
    </details>
  );
}

export function OpRows({ ops, open = 0 }: { ops: RecordedOp[]; open?: number }): JSX.Element {
  return (
    <div class="op-rows">
      {ops.map((r, i) => (
        <OpRow key={r.seq} r={r} open={i < open} />
      ))}
    </div>
  );
}
