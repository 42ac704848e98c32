// What several views show beside their picture: a panel about what was chosen, a choice of few, the last ops of something.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { query } from '../api';
import { useData } from '../data';
import { Asked, Say } from '../parts/panels';
import { Ago, Ms, Text } from '../parts/values';
import { here, href } from '../router';
import type { Op, Paged } from '../types';
import './side.css';

interface SideProps {
  title: ComponentChildren;
  /** Where it leads when it is closed. */
  close: string;
  children: ComponentChildren;
}

/** A panel beside the picture, under it on a narrow screen. Escape closes it. */
export function Side({ title, close, children }: SideProps): JSX.Element {
  useEffect(() => {
    const key = (e: KeyboardEvent): void => {
      if (e.key === 'Escape' && !e.defaultPrevented) location.hash = close;
    };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, [close]);
  return (
    <aside class="beside panel">
      <header class="panel-head">
        <h2>{title}</h2>
        <a class="plain side-close" href={close} aria-label="close">
          ×
        </a>
      </header>
      {children}
    </aside>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  /** The parameter of the address that it sets. */
  param: string;
  options: readonly (readonly [T, string])[];
  value: T;
  /** What holds where the address says nothing; without it the first option. */
  otherwise?: T;
}

/** One of a few, in the address. */
export function Choice<T extends string>({ label, param, options, value, otherwise = options[0]?.[0] }: ChoiceProps<T>): JSX.Element {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map(([name, words]) => (
        <a href={here({ [param]: name === otherwise ? null : name, cursor: null })} aria-current={name === value ? 'true' : undefined}>
          {words}
        </a>
      ))}
    </div>
  );
}

/** The option that a parameter names, `otherwise` when it names none. */
export function chosen<T extends string>(options: readonly (readonly [T, string])[], value: string | undefined, otherwise: T): T {
  return options.find(([name]) => name === value)?.[0] ?? otherwise;
}

interface OpsAnswer extends Paged {
  ops: { seq: number; op: Op }[];
}

/** The newest ops of something: their outcomes as a strip, the last few in words. */
export function LastOps({ of, rows = 6 }: { of: Record<string, string>; rows?: number }): JSX.Element {
  const data = useData<OpsAnswer>(query('ops', { ...of, limit: 40 }));
  return (
    <Asked data={data} rows={rows} isEmpty={(v) => v.ops.length === 0} empty={<Say title="No op of it is kept." />}>
      {(v) => (
        <>
          <Strip ops={v.ops} />
          <ul class="last-ops">
            {v.ops.slice(0, rows).map(({ seq, op }) => (
              <li key={seq}>
                <a href={href('console', [], { seq })} class={op.success ? '' : 'fail'}>
                  <Text s={op.success ? op.output_summary || op.input_summary || op.endpoint : op.error || op.output_summary || 'failed'} max={80} />
                </a>
                <span class="quiet">
                  <Ms v={op.duration_ms} />, <Ago t={op.timestamp} ago />
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Asked>
  );
}

function Strip({ ops }: { ops: OpsAnswer['ops'] }): JSX.Element {
  const failed = ops.filter(({ op }) => !op.success).length;
  const label = `of the last ${ops.length} ops ${failed} failed`;
  return (
    <p class="strip" role="img" aria-label={label} title={`${label}; the newest is on the right`}>
      {[...ops].reverse().map(({ seq, op }) => (
        <i key={seq} class={op.success ? '' : 'is-fail'} />
      ))}
    </p>
  );
}
