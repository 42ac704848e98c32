// A time series: drawn by uPlot, or as a table of the same numbers.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { theme } from '../theme';
import { clock } from '../text';
import { now } from '../store';

export interface Series {
  label: string;
  values: (number | null)[];
  /** A custom property of style.css: `--ink`, `--fail`, `--ink-3`. */
  color: string;
  /** How a value is written, also on the axis. */
  format: (v: number | null) => string;
  bars?: boolean;
  dash?: number[];
}

interface ChartProps {
  /** What it shows: the heading. */
  title: string;
  /** ISO times, oldest first. */
  times: string[];
  series: Series[];
  height?: number;
  /** The least range of the axis, so that noise near nothing does not fill it. */
  least?: number;
  /** Marks a time of interest. */
  note?: string;
}

const AXIS_PX = 52;

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(p: ChartProps, width: number, height: number): uPlot.Options {
  const first = p.series[0];
  const axis = { stroke: color('--ink-2'), font: '11px system-ui, sans-serif', grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } };
  return {
    width,
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, Math.max((max || 0) * 1.08, p.least ?? 1)] } },
    axes: [
      { ...axis, size: 24, space: 70, values: (_u, at) => at.map((t) => clock(t * 1000, now.peek())) },
      { ...axis, size: AXIS_PX, space: 32, values: (_u, at) => at.map((v) => first?.format(v) ?? String(v)) },
    ],
    series: [
      {},
      ...p.series.map((s) => {
        const stroke = color(s.color);
        const one: uPlot.Series = { label: s.label, stroke, width: 1.5, points: { show: false }, spanGaps: false };
        if (s.dash) one.dash = s.dash;
        if (s.bars && uPlot.paths.bars) {
          one.paths = uPlot.paths.bars({ size: [0.7, 12] });
          one.fill = stroke;
          one.width = 0;
        }
        return one;
      }),
    ],
  };
}

function data(p: ChartProps): uPlot.AlignedData {
  return [p.times.map((t) => Date.parse(t) / 1000), ...p.series.map((s) => s.values)] as uPlot.AlignedData;
}

function Plot(p: ChartProps & { onCursor: (i: number | null) => void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const height = p.height ?? 160;
  const shape = `${theme.value}|${height}|${p.series.map((s) => s.label + s.color).join()}`;
  useEffect(() => {
    const at = box.current;
    if (!at) return;
    const o = options(p, at.clientWidth, height);
    o.hooks = { setCursor: [(u) => p.onCursor(u.cursor.idx ?? null)] };
    const u = new uPlot(o, data(p), at);
    plot.current = u;
    const watch = new ResizeObserver(() => {
      if (at.clientWidth !== u.width) u.setSize({ width: at.clientWidth, height });
    });
    watch.observe(at);
    return () => {
      watch.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data(p)), [p.times, ...p.series.map((s) => s.values)]);
  return <div class="plot" ref={box} style={{ height: `${height}px` }} role="img" aria-label={`${p.title}, drawn over time`} />;
}

/** Under its heading the latest numbers, or those under the pointer; `as table` shows all of them. */
export function Chart(p: ChartProps): JSX.Element {
  const [table, setTable] = useState(false);
  const [at, setAt] = useState<number | null>(null);
  const i = at ?? p.times.length - 1;
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{p.title}</span>
        <span class="legend">
          {p.series.map((s) => (
            <span class="legend-one">
              <i class="swatch" style={{ background: `var(${s.color})` }} />
              {s.label} <b class="num">{s.format(s.values[i] ?? null)}</b>
            </span>
          ))}
          <time class="num quiet">{clock(p.times[i] ?? null, now.value)}</time>
        </span>
        <button type="button" class="plain" aria-pressed={table} onClick={() => setTable(!table)}>
          {table ? 'as chart' : 'as table'}
        </button>
      </figcaption>
      {table ? (
        <div class="scroll" style={{ maxHeight: '320px' }} tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">time</th>
                {p.series.map((s) => (
                  <th scope="col" class="right">
                    {s.label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {p.times
                .map((t, n) => (
                  <tr>
                    <td class="num">{clock(t, now.value)}</td>
                    {p.series.map((s) => (
                      <td class="num right">{s.format(s.values[n] ?? null)}</td>
                    ))}
                  </tr>
                ))
                .reverse()}
            </tbody>
          </table>
        </div>
      ) : (
        <Plot {...p} onCursor={setAt} />
      )}
    </figure>
  );
}
