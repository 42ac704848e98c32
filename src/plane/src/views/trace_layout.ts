// Where the rows of a timeline stand on its time axis. Pure.
//
// Time is not drawn to scale: between two moments at which something begins or ends lie at least a few pixels, so that short ops are
// seen beside long ones, and at most so many, so that waiting does not fill the screen. A gap that the daemon names as idle has
// one width, whatever its length.
import type { Paged } from '../types';

export interface OpRow {
  kind: 'op';
  seq: number;
  start: string;
  end: string;
  duration_ms: number;
  endpoint: string | null;
  source: string | null;
  staffer_id: string | null;
  session_id: string | null;
  task_class: string | null;
  event_kind: string | null;
  sig_hash: string | null;
  success: boolean;
  error: string | null;
  cluster: string | null;
  attempt: number | null;
  retry_of: number | null;
}
export interface RunRow extends Omit<OpRow, 'kind' | 'seq' | 'attempt' | 'retry_of'> {
  kind: 'run';
  count: number;
  first_seq: number;
  last_seq: number;
}
export interface IdleRow {
  kind: 'idle';
  start: string;
  end: string;
  duration_ms: number;
  after_seq: number;
}
export interface CorrectionRow {
  kind: 'correction';
  seq: number;
  start: string;
  text: string | null;
  applies_to: string | null;
}
export interface ChangeRow {
  kind: 'change';
  seq: number;
  start: string;
  text?: string | null;
  endpoint?: string | null;
}
export type Row = OpRow | RunRow | IdleRow | CorrectionRow | ChangeRow;

export interface Timeline extends Paged {
  key: string;
  value: string;
  summary: {
    ops: number;
    failures: number;
    first: string | null;
    last: string | null;
    busy_ms: number;
    idle_ms: number;
    longest_idle_ms: number;
    staffers: string[];
    first_failure_seq: number | null;
    of_page: boolean;
  };
  rows: Row[];
}

export const isWork = (r: Row): r is OpRow | RunRow => r.kind === 'op' || r.kind === 'run';
export const seqOf = (r: Row): number => (r.kind === 'run' ? r.first_seq : r.kind === 'idle' ? r.after_seq : r.seq);
/** What tells a row from the others of a timeline; an idle row shares the seq of the one before it. */
export const rowId = (r: Row): string => `${r.kind === 'idle' ? 'i' : ''}${seqOf(r)}`;

const SLICE_MIN = 3;
const SLICE_MAX = 120;
const IDLE_PX = 72;
export const LANE = 26;
const DEPTH_MAX = 3;

export interface Placed {
  row: Row;
  x0: number;
  x1: number;
  lane: number;
  /** Which of the lane's tracks, where ops overlap. */
  track: number;
}

export interface Drawing {
  width: number;
  lanes: { name: string | null; y: number; tracks: number }[];
  height: number;
  placed: Placed[];
  /** Names of moments along the axis. */
  ticks: { x: number; time: number }[];
}

function moments(rows: Row[]): number[] {
  const all = new Set<number>();
  for (const r of rows) {
    all.add(Date.parse(r.start));
    if ('end' in r) all.add(Date.parse(r.end));
  }
  return [...all].sort((a, b) => a - b);
}

/** The place of each moment, and the width of all. */
function axis(rows: Row[], room: number): { at: Map<number, number>; width: number } {
  const times = moments(rows);
  const idle = rows.filter((r): r is IdleRow => r.kind === 'idle').map((r) => [Date.parse(r.start), Date.parse(r.end)] as const);
  const isIdle = (a: number, b: number): boolean => idle.some(([from, to]) => a >= from && b <= to);
  const slices = times.slice(1).map((t, i) => ({ ms: t - (times[i] ?? t), idle: isIdle(times[i] ?? t, t) }));
  const busy = slices.filter((s) => !s.idle);
  const total = busy.reduce((sum, s) => sum + s.ms, 0);
  const idlePx = slices.filter((s) => s.idle).length * IDLE_PX;
  const scale = total > 0 ? Math.max(room - idlePx, busy.length * SLICE_MIN * 2) / total : 1;
  const at = new Map<number, number>();
  let x = 0;
  times.forEach((t, i) => {
    const s = slices[i - 1];
    if (s) x += s.idle ? IDLE_PX : Math.min(Math.max(s.ms * scale, SLICE_MIN), Math.max(SLICE_MAX, room / 6));
    at.set(t, x);
  });
  const stretch = x > 0 && x < room ? room / x : 1;
  for (const [t, v] of at) at.set(t, v * stretch);
  return { at, width: x * stretch };
}

/** Lanes, tracks and places of all rows, for a width of `room` or more where there is more than fits. */
export function draw(rows: Row[], room: number): Drawing {
  const { at, width } = axis(rows, room);
  const x = (iso: string): number => at.get(Date.parse(iso)) ?? 0;
  const names: (string | null)[] = [];
  const tracks: number[][] = [];
  const placed: Placed[] = [];
  for (const row of rows) {
    if (!isWork(row)) {
      placed.push({ row, x0: x(row.start), x1: 'end' in row ? x(row.end) : x(row.start), lane: -1, track: 0 });
      continue;
    }
    let lane = names.indexOf(row.staffer_id);
    if (lane < 0) {
      lane = names.push(row.staffer_id) - 1;
      tracks.push([]);
    }
    const own = tracks[lane] ?? [];
    const [x0, x1] = [x(row.start), Math.max(x(row.end), x(row.start) + SLICE_MIN)];
    let track = own.findIndex((end) => end <= x0 + 0.5);
    if (track < 0) track = own.length < DEPTH_MAX ? own.length : DEPTH_MAX - 1;
    own[track] = Math.max(own[track] ?? 0, x1);
    placed.push({ row, x0, x1, lane, track });
  }
  let y = 0;
  const lanes = names.map((name, i) => {
    const lane = { name, y, tracks: Math.max(1, tracks[i]?.length ?? 1) };
    y += LANE + (lane.tracks - 1) * 12;
    return lane;
  });
  const ticks: { x: number; time: number }[] = [];
  for (const [time, px] of at) if (!ticks.length || (px - (ticks[ticks.length - 1]?.x ?? 0) > 96 && px < width - 60)) ticks.push({ x: px, time });
  return { width, lanes, height: y, placed, ticks };
}

/** The middle of a bar. */
export function middle(d: Drawing, p: Placed): number {
  const lane = d.lanes[p.lane];
  return lane ? lane.y + LANE / 2 + p.track * 12 : d.height / 2;
}
