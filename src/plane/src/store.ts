// What the whole page knows, kept current by one question a second.
//
// `live` is asked once a second while the page is seen, each ten seconds when nobody has touched it for five minutes,
// and not at all while it is hidden. After a failure it waits 1, 2, 5, 10 s. Views ask for their own lists when `moved`
// changes, which is every five seconds at most when something was recorded, else each fifteen.
import { batch, computed, signal } from '@preact/signals';
import { ApiError, get, key, query } from './api';
import type { Live, LiveOp } from './types';

const POLL_MS = 1_000;
const REST_MS = 10_000;
const REST_AFTER_MS = 300_000;
const BACKOFF_MS = [1_000, 2_000, 5_000, 10_000];
const MOVED_MS = 5_000;
/** Learning and alerts go on when nothing is recorded. */
const ANYWAY_MS = 15_000;
/** `live` is read from memory: who takes longer than this is as good as away. */
const ANSWER_MS = 5_000;
const STALE_MS = 120_000;
const PAGE = 200;
export const OPS_KEPT = 1_000;

/** The last answer; null until there is one. */
export const live = signal<Live | null>(null);
/** The newest ops that were received while the page was open, oldest first. */
export const ops = signal<LiveOp[]>([]);
/** How many ops the page did not get to see, since it was opened. */
export const missed = signal(0);
/** Why the last question failed; null when it did not. */
export const fault = signal<ApiError | null>(null);
/** When the last answer came, by this machine's clock; 0: never. */
export const answeredAt = signal(0);
/** When the next try is due, while there is a fault. */
export const retryAt = signal(0);
/** This machine's clock, each second. */
export const tick = signal(Date.now());
/** The daemon's clock, each second: ages are told by it, whatever this machine's says. */
export const now = computed(() => tick.value + skew.value);
/** Grows when views should ask again. */
export const moved = signal(0);
/** When the daemon was seen to have started anew, 0: not. */
export const restartedAt = signal(0);
/** When the page was first answered, and by which version: it is the page of that one. */
export const openedAt = signal(0);
export const openedVersion = signal('');

const skew = signal(0);

export type Link = 'loading' | 'ok' | 'stale' | 'idle' | 'stopped' | 'offline' | 'key' | 'scope' | 'fault';

/** In one word, how it stands between page and daemon. `stopped`: it cannot record; `stale`: nothing was recorded for a
 * while; `idle`: ever. */
export const link = computed<Link>(() => {
  const f = fault.value;
  if (f) return f.fault === 'key' || f.fault === 'scope' || f.fault === 'offline' ? f.fault : 'fault';
  const l = live.value;
  if (!l) return 'loading';
  if (!l.ready) return 'stopped';
  if (l.totals.ops === 0 && l.seq === 0) return 'idle';
  if (l.last_op === null || now.value - Date.parse(l.last_op) > STALE_MS) return 'stale';
  return 'ok';
});

let told = (): void => {};
/** Resolves when the first question was answered, or has failed. */
export const answered = new Promise<void>((resolve) => (told = resolve));

let after: number | null = null;
let boot: string | null = null;
let failures = 0;
let movedAt = 0;
let seqMoved = -1;
let touchedAt = Date.now();
let timer = 0;
let underway: AbortController | null = null;

function take(l: Live): void {
  const again = boot !== null && l.boot !== boot;
  batch(() => {
    skew.value = Date.parse(l.now) - Date.now();
    tick.value = Date.now();
    if (again) restartedAt.value = Date.now();
    if (!openedAt.value) {
      openedAt.value = Date.now();
      openedVersion.value = l.version;
    }
    if (again) ops.value = l.ops.slice(-OPS_KEPT);
    else if (l.ops.length) ops.value = [...ops.value, ...l.ops].slice(-OPS_KEPT);
    if (!again) missed.value += l.missed;
    live.value = l;
    fault.value = null;
    answeredAt.value = Date.now();
    const since = Date.now() - movedAt;
    if (since >= MOVED_MS && (l.seq !== seqMoved || again || failures > 0 || since >= ANYWAY_MS)) {
      movedAt = Date.now();
      seqMoved = l.seq;
      moved.value += 1;
    }
  });
  boot = l.boot;
  after = l.seq;
  failures = 0;
}

function fail(e: unknown): number {
  const wait = BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)] ?? POLL_MS;
  failures += 1;
  movedAt = 0; // the first answer after this makes the views ask again
  batch(() => {
    fault.value = e instanceof ApiError ? e : new ApiError('broken', String(e), 'live');
    retryAt.value = Date.now() + wait;
    tick.value = Date.now();
  });
  return wait;
}

async function poll(): Promise<void> {
  timer = 0;
  const mine = new AbortController();
  underway = mine;
  let wait = Date.now() - touchedAt > REST_AFTER_MS ? REST_MS : POLL_MS;
  try {
    take(await get<Live>(query('live', { after, boot, limit: PAGE }), mine.signal, ANSWER_MS));
  } catch (e) {
    if (mine.signal.aborted) return;
    wait = fail(e);
  }
  underway = null;
  told();
  if (!document.hidden) timer = window.setTimeout(() => void poll(), wait);
}

/** Asks now, whatever was planned. */
export function pollNow(): void {
  clearTimeout(timer);
  underway?.abort();
  void poll();
}

function rest(): void {
  clearTimeout(timer);
  timer = 0;
  underway?.abort();
  underway = null;
}

export function start(): void {
  const touch = (): void => {
    const rested = Date.now() - touchedAt > REST_AFTER_MS;
    touchedAt = Date.now();
    if (rested && !document.hidden) pollNow();
  };
  for (const event of ['pointermove', 'pointerdown', 'keydown', 'wheel']) addEventListener(event, touch, { passive: true });
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) rest();
    else pollNow();
  });
  setInterval(() => {
    if (!document.hidden) tick.value = Date.now();
  }, 1_000);
  let first = true;
  key.subscribe(() => {
    if (!first) {
      failures = 0;
      pollNow();
    }
    first = false;
  });
  if (!document.hidden) pollNow();
}
