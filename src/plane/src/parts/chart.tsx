// A time series as SVG, or as a table of the same numbers. At most a few hundred points: what a library that draws a
// hundred thousand of them would cost is a third of the whole page.
import type { JSX } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { now } from '../store';
import { clock } from '../text';

export interface Series {
  label: string;
  values: (number | null)[];
  /** A custom property of style.css: `--ink`, `--fail`, `--ink-3`. */
  color: string;
  /** How a value is written, also on the axis. */
  format: (v: number | null) => string;
  /** Columns instead of a line. */
  bars?: boolean;
  /** As stroke-dasharray. */
  dash?: number[];
}

interface ChartProps {
  /** What it shows: the heading. */
  title: string;
  /** ISO times, oldest first, at equal distances. */
  times: string[];
  series: Series[];
  height?: number;
  /** The least range of the axis, so that noise near nothing does not fill it. */
  least?: number;
  /** The axis of values is logarithmic. */
  log?: boolean;
}

const LEFT = 48;
const RIGHT = 8;
const TOP = 6;
const BOTTOM = 20;
const TICK_PX = 34;
const LABEL_PX = 72;

/* ---- axes ---- */

interface Axis {
  /** From a value to 0 (bottom) … 1 (top). */
  place: (v: number) => number;
  ticks: number[];
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(range: number, parts: number): number {
  const raw = range / Math.max(1, parts);
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((n) => n * power).find((s) => s >= raw * 0.999) ?? raw;
}

function linear(max: number, least: number, parts: number): Axis {
  const top = Math.max(max * 1.05, least);
  const step = niceStep(top, parts);
  const ticks: number[] = [];
  for (let v = 0; v <= top * 1.0001; v += step) ticks.push(v);
  return { place: (v) => v / top, ticks };
}

/** Whole powers of ten around what is shown. */
function logarithmic(min: number, max: number, parts: number): Axis {
  const low = Math.floor(Math.log10(Math.max(1, min)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1, max))));
  const every = Math.ceil((high - low) / Math.max(1, parts));
  const ticks: number[] = [];
  for (let p = low; p <= high; p += every) ticks.push(10 ** p);
  return { place: (v) => (Math.log10(Math.max(v, 10 ** low)) - low) / (high - low), ticks };
}

const MINUTE = 60_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((m) => m * MINUTE);

/** Round times of day, of this machine's zone. */
function timeTicks(from: number, to: number, parts: number): number[] {
  const step = STEPS.find((s) => (to - from) / s <= parts) ?? 1440 * MINUTE;
  const zone = new Date(from).getTimezoneOffset() * MINUTE;
  const ticks: number[] = [];
  for (let t = Math.ceil((from - zone) / step) * step + zone; t <= to; t += step) ticks.push(t);
  return ticks;
}

/* ---- what is drawn ---- */

/** A path through the values, broken where there are none; a value alone is a dot. */
function path(values: (number | null)[], x: (i: number) => number, y: (v: number) => number): string {
  let d = '';
  let drawing = false;
  values.forEach((v, i) => {
    if (v === null) {
      drawing = false;
      return;
    }
    const at = `${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    const alone = !drawing && (values[i + 1] ?? null) === null;
    d += alone ? `M${at}h.01` : `${drawing ? 'L' : 'M'}${at}`;
    drawing = true;
  });
  return d;
}

function Plot(p: ChartProps & { at: number | null; onPoint: (i: number | null) => void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const height = p.height ?? 150;
  // What it watches is told before the next paint, and asks for no layout of its own.
  useLayoutEffect(() => {
    if (!box.current) return;
    const watch = new ResizeObserver(([e]) => e && setWidth(Math.round(e.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const n = p.times.length;
  const inner = Math.max(1, width - LEFT - RIGHT);
  const tall = height - TOP - BOTTOM;
  const bars = p.series.some((s) => s.bars);
  const slot = inner / Math.max(1, bars ? n : n - 1);
  const x = (i: number): number => LEFT + (bars ? (i + 0.5) * slot : i * slot);
  const drawn = useMemo(() => {
    const all = p.series.flatMap((s) => s.values.filter((v): v is number => v !== null));
    const parts = Math.floor(tall / TICK_PX);
    const max = Math.max(0, ...all);
    const axis = p.log ? logarithmic(Math.min(...all, max), max, parts) : linear(max, p.least ?? 1e-3, parts);
    const from = Date.parse(p.times[0] ?? '');
    const to = Date.parse(p.times[n - 1] ?? '');
    return { axis, from, to, ticks: n > 1 ? timeTicks(from, to, Math.max(2, Math.floor(inner / LABEL_PX))) : [] };
  }, [p.times, p.log, p.least, tall, inner, ...p.series.map((s) => s.values)]);
  const y = (v: number): number => TOP + (1 - drawn.axis.place(v)) * tall;
  const move = (e: PointerEvent): void => {
    const left = box.current?.getBoundingClientRect().left ?? 0;
    const i = bars ? Math.floor((e.clientX - left - LEFT) / slot) : Math.round((e.clientX - left - LEFT) / slot);
    p.onPoint(i >= 0 && i < n ? i : null);
  };
  const format = p.series[0]?.format ?? String;
  return (
    <div class="plot" ref={box} style={{ height: `${height}px` }} onPointerMove={move} onPointerLeave={() => p.onPoint(null)}>
      {width > 0 && (
        <svg width={width} height={height} role="img" aria-label={`${p.title}, over time; “as table” has the numbers`}>
          {drawn.axis.ticks.map((v) => (
            <>
              <line class="grid" x1={LEFT} x2={width - RIGHT} y1={Math.round(y(v)) + 0.5} y2={Math.round(y(v)) + 0.5} />
              <text class="tick" x={LEFT - 6} y={y(v) + 3.5} text-anchor="end">
                {format(v)}
              </text>
            </>
          ))}
          {drawn.ticks.map((t) => {
            const place = LEFT + (bars ? slot / 2 : 0) + ((t - drawn.from) / Math.max(1, drawn.to - drawn.from)) * (bars ? inner - slot : inner);
            return (
              <text class="tick" x={Math.min(Math.max(place, LEFT + 12), width - 16)} y={height - 5} text-anchor="middle">
                {clock(t, t)}
              </text>
            );
          })}
          {p.series.map((s) =>
            s.bars ? (
              <g style={{ fill: `var(${s.color})` }}>
                {s.values.map((v, i) => (v ? <rect x={x(i) - Math.min(slot * 0.35, 9)} width={Math.max(1, Math.min(slot * 0.7, 18))} y={Math.min(y(v), TOP + tall - 1)} height={Math.max(1, TOP + tall - y(v))} /> : null))}
              </g>
            ) : (
              <path class="line" d={path(s.values, x, y)} style={{ stroke: `var(${s.color})` }} stroke-dasharray={s.dash?.join(' ')} />
            ),
          )}
          {p.at !== null && (
            <>
              <line class="cursor" x1={x(p.at)} x2={x(p.at)} y1={TOP} y2={TOP + tall} />
              {p.series.map((s) => {
                const v = s.values[p.at ?? 0] ?? null;
                return v === null || s.bars ? null : <circle cx={x(p.at ?? 0)} cy={y(v)} r="3" style={{ fill: `var(${s.color})` }} />;
              })}
            </>
          )}
        </svg>
      )}
    </div>
  );
}

function Numbers({ times, series, title }: ChartProps): JSX.Element {
  return (
    <div class="scroll as-table" tabIndex={0}>
      <table aria-label={title}>
        <thead>
          <tr>
            <th scope="col">time</th>
            {series.map((s) => (
              <th scope="col" class="right">
                {s.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {times
            .map((t, n) => (
              <tr>
                <td class="num">{clock(t, now.value)}</td>
                {series.map((s) => (
                  <td class="num right">{s.format(s.values[n] ?? null)}</td>
                ))}
              </tr>
            ))
            .reverse()}
        </tbody>
      </table>
    </div>
  );
}

/** Beside its heading the latest numbers, or those under the pointer; `as table` shows all of them. */
export function Chart(p: ChartProps): JSX.Element {
  const [table, setTable] = useState(false);
  const [at, setAt] = useState<number | null>(null);
  const i = Math.min(at ?? p.times.length - 1, p.times.length - 1);
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{p.title}</span>
        <time class="num">{clock(p.times[i] ?? null, now.value)}</time>
        <button type="button" class="plain" aria-pressed={table} onClick={() => setTable(!table)}>
          {table ? 'as chart' : 'as table'}
        </button>
        <span class="legend">
          {p.series.map((s) => (
            <span class="legend-one">
              <svg class="swatch" width="14" height="3" aria-hidden="true">
                <line x1="0" x2="14" y1="1.5" y2="1.5" style={{ stroke: `var(${s.color})` }} stroke-width="2" stroke-dasharray={s.dash?.join(' ')} />
              </svg>
              {s.label} <b class="num">{s.format(s.values[i] ?? null)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      {table ? <Numbers {...p} /> : <Plot {...p} at={at !== null && at < p.times.length ? at : null} onPoint={setAt} />}
    </figure>
  );
}
