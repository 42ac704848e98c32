// What is drawn: sparklines and bars as SVG and boxes.
import type { JSX } from 'preact';
import { percent } from '../text';

interface SparkProps {
  values: (number | null)[];
  /** Said instead of the picture. */
  label: string;
  width?: number;
  height?: number;
  /** In the colour of failures. */
  fail?: boolean;
  /** Columns instead of a line. */
  bars?: boolean;
}

/** A line or columns without axes, from 0 to the greatest value. */
export function Spark({ values, label, width = 96, height = 20, fail = false, bars = false }: SparkProps): JSX.Element {
  const top = Math.max(1e-9, ...values.map((v) => v ?? 0));
  const step = width / Math.max(1, bars ? values.length : values.length - 1);
  const y = (v: number): number => Math.round((height - 1 - (v / top) * (height - 2)) * 10) / 10;
  const x = (i: number): number => Math.round(i * step * 10) / 10;
  return (
    <svg class={`spark ${fail ? 'is-fail' : ''}`} width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      <title>{label}</title>
      {bars
        ? values.map((v, i) =>
            v ? <rect x={x(i)} y={Math.min(y(v), height - 2)} width={Math.max(1, step - 1)} height={Math.max(1, height - y(v))} /> : null,
          )
        : lines(values).map((run) => <polyline points={run.map(([i, v]) => `${x(i)},${y(v)}`).join(' ')} />)}
      <line class="ground" x1="0" x2={width} y1={height - 0.5} y2={height - 0.5} />
    </svg>
  );
}

/** The runs of values between gaps. */
function lines(values: (number | null)[]): [number, number][][] {
  const runs: [number, number][][] = [];
  let run: [number, number][] = [];
  values.forEach((v, i) => {
    if (v !== null) run.push([i, v]);
    else if (run.length) {
      runs.push(run);
      run = [];
    }
  });
  if (run.length) runs.push(run);
  return runs;
}

interface BarProps {
  /** 0 to 1. */
  share: number;
  /** The interval of the share, where there is one. */
  low?: number | null;
  high?: number | null;
  fail?: boolean;
  label?: string;
}

/** A share as a bar; its interval as a line over it. */
export function Bar({ share, low, high, fail = false, label }: BarProps): JSX.Element {
  const p = (v: number): string => `${Math.min(100, Math.max(0, v * 100))}%`;
  const said = label ?? percent(share);
  return (
    <span class={`bar ${fail ? 'is-fail' : ''}`} role="img" aria-label={said} title={said}>
      <span class="bar-fill" style={{ width: p(share) }} />
      {low !== null && low !== undefined && high !== null && high !== undefined && (
        <span class="bar-range" style={{ left: p(low), width: p(high - low) }} />
      )}
    </span>
  );
}
