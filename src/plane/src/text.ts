// Numbers, times and hostile text, put into words. Pure functions: no DOM, no signals.

const NONE = '–';

/** 1,234 as it is; from 100,000 on with three digits and a unit. */
export function count(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  if (Math.abs(n) < 100_000) return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');
  for (const [size, unit] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const)
    if (Math.abs(n) >= size * 0.9995) return `${short(n / size)} ${unit}`;
  return String(n);
}

function short(n: number): string {
  const a = Math.abs(n);
  return n.toFixed(a < 9.995 ? 2 : a < 99.95 ? 1 : 0);
}

/** Operations a second: as many digits as mean something. */
export function rate(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  if (n === 0) return '0';
  return n < 10 ? n.toFixed(n < 0.095 ? 2 : 1) : count(n);
}

/** A share of 0 to 1. None at all and all of it are told from nearly so. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return NONE;
  const p = share * 100;
  if (p === 0 || p === 100) return `${p} %`;
  if (p < 0.1) return '< 0.1 %';
  if (p > 99.9) return '> 99.9 %';
  return `${p.toFixed(p < 9.95 || p > 99 ? 1 : 0)} %`;
}

export function millis(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NONE;
  if (ms < 1) return ms === 0 ? '0 ms' : '< 1 ms';
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 119_500) return `${Math.round(ms / 1000)} s`;
  return span(ms);
}

/** A time span in its two greatest units. */
export function span(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NONE;
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return s % 60 && m < 10 ? `${m} min ${s % 60} s` : `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 24) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  const d = Math.floor(h / 24);
  return h % 24 && d < 10 ? `${d} d ${h % 24} h` : `${d} d`;
}

/** How long ago, in one unit, so that it keeps its width. */
export function age(then: string | number | null | undefined, now: number): string {
  const t = typeof then === 'number' ? then : then ? Date.parse(then) : NaN;
  if (!Number.isFinite(t)) return NONE;
  const s = Math.max(0, Math.round((now - t) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

const pad = (n: number): string => String(n).padStart(2, '0');

/** The local time of day; with the date when it is another day than now. */
export function clock(then: string | number | null | undefined, now: number, seconds = false): string {
  const t = typeof then === 'number' ? then : then ? Date.parse(then) : NaN;
  if (!Number.isFinite(t)) return NONE;
  const d = new Date(t);
  const time = `${pad(d.getHours())}:${pad(d.getMinutes())}${seconds ? `:${pad(d.getSeconds())}` : ''}`;
  if (d.toDateString() === new Date(now).toDateString()) return time;
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${time}`;
}

export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NONE;
  if (n < 1024) return `${n} B`;
  let v = n;
  for (const unit of ['KiB', 'MiB', 'GiB', 'TiB']) {
    v /= 1024;
    if (v < 1023.5) return `${short(v)} ${unit}`;
  }
  return `${short(v / 1024)} PiB`;
}

/** `1 failure`, `2 failures`. */
export function many(n: number, one: string, more = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : more}`;
}

export interface Piece {
  text: string;
  /** Set where the text stands for a character that would not be seen, or would turn its neighbours round. */
  code?: string;
}

// All of Unicode's "other" (controls, what changes the direction of text or has no width, tags, private use, unassigned,
// halves of characters), separators of lines, and what is a letter or a mark but shows nothing: all that can make a text
// look like another one.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]/gu;

/** What a keyboard of 1963 can write: nothing in it is unseen, and most of what is recorded is made of it. */
const PLAIN = /^[ -~]*$/;

const SYMBOLS: Record<string, string> = { '\n': '⏎', '\t': '⇥' };

/** Takes a text apart into what can be shown as it is and names of what cannot. */
export function visible(text: string): Piece[] {
  if (PLAIN.test(text)) return text ? [{ text }] : [];
  const pieces: Piece[] = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    const c = found[0];
    if (found.index > from) pieces.push({ text: text.slice(from, found.index) });
    const code = `U+${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
    pieces.push({ text: SYMBOLS[c] ?? code, code });
    from = found.index + c.length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from) });
  return pieces;
}

/** Cut at a limit of UTF-16 units, never inside a character. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  const c = text.charCodeAt(max - 1);
  return `${text.slice(0, c >= 0xd800 && c < 0xdc00 ? max - 1 : max)}…`;
}
