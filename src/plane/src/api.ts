// Questions to the daemon that served the page: same origin, no cookies, the key in a header.
import { signal } from '@preact/signals';

const KEY = 'observer.key';
const TIMEOUT_MS = 15_000;

export type Fault =
  | 'offline' // no answer at all
  | 'key' // none was given, or one that is not known
  | 'scope' // the key may not do this
  | 'absent' // there is no such thing
  | 'busy' // later
  | 'refused' // the question is wrong
  | 'broken'; // the answer is

export class ApiError extends Error {
  constructor(
    readonly fault: Fault,
    message: string,
    readonly path: string,
    readonly status = 0,
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

function stored(): string {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return ''; // storage is switched off: the key lives as long as the page
  }
}

/** The key, "" without one. */
export const key = signal(stored());

export function setKey(text: string): void {
  key.value = text.trim();
  try {
    if (key.value) sessionStorage.setItem(KEY, key.value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // as above
  }
}

function faultOf(status: number): Fault {
  if (status === 401) return 'key';
  if (status === 403) return 'scope';
  if (status === 404) return 'absent';
  if (status === 429 || status === 503) return 'busy';
  return status >= 400 && status < 500 ? 'refused' : 'broken';
}

async function reason(answer: Response): Promise<string> {
  try {
    const body: unknown = await answer.json();
    if (typeof body === 'object' && body !== null && 'error' in body && typeof body.error === 'string') return body.error;
  } catch {
    // no JSON: the status has to do
  }
  return `the daemon answered ${answer.status}`;
}

async function ask(path: string, init: RequestInit, signal?: AbortSignal, ms = TIMEOUT_MS): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json', ...(init.headers as Record<string, string>) };
  if (key.value) headers['x-api-key'] = key.value;
  const own = new AbortController();
  const stop = (): void => own.abort(signal?.reason);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const late = setTimeout(() => own.abort(new DOMException('no answer in time', 'TimeoutError')), ms);
  try {
    const answer = await fetch(path, { ...init, headers, signal: own.signal, credentials: 'omit', cache: 'no-store' });
    if (answer.ok) return answer;
    const later = Number(answer.headers.get('retry-after')) || 0;
    throw new ApiError(faultOf(answer.status), await reason(answer), path, answer.status, later);
  } catch (e) {
    if (e instanceof ApiError || signal?.aborted) throw e;
    throw new ApiError('offline', 'the daemon does not answer', path);
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', stop);
  }
}

/* ---- asked early ---- */

/** An answer that nobody has taken by then is too old to be shown as new. */
const EARLY_MS = 2_000;

interface Early {
  answer: Promise<unknown>;
  asked: number;
  /** Set once it is there. */
  value?: unknown;
}

const early = new Map<string, Early>();

/** Asks what will be wanted at once, before anything is drawn, so that drawing and asking go on together: `get` of the same
 * path, and `ready`, give what this brings. Resolves when all of it is there, or was refused. */
export async function askEarly(paths: string[]): Promise<void> {
  const all = paths.map((path) => {
    const one: Early = { answer: get(path), asked: Date.now() };
    early.set(absolute(path), one);
    return one.answer.then(
      (value) => (one.value = value),
      () => early.delete(absolute(path)), // whoever asks for it then hears why
    );
  });
  await Promise.all(all);
}

/** What was asked early and is there already; once. */
export function ready<T>(path: string): T | undefined {
  const one = early.get(absolute(path));
  if (one?.value === undefined) return undefined;
  return takeEarly(absolute(path))?.value as T | undefined;
}

function takeEarly(full: string): Early | undefined {
  const one = early.get(full);
  early.delete(full);
  return one && Date.now() - one.asked < EARLY_MS ? one : undefined;
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/v1/observer/${path}`;
}

/** A route's answer, which may take `ms`. `path` is absolute, or relative to /v1/observer/. Throws ApiError, or what
 * `signal` aborts with. */
export async function get<T>(path: string, signal?: AbortSignal, ms?: number): Promise<T> {
  const full = absolute(path);
  const asked = takeEarly(full);
  if (asked) return (await asked.answer) as T;
  const answer = await ask(full, {}, signal, ms);
  try {
    return (await answer.json()) as T;
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new ApiError('broken', 'the answer is not JSON', full, answer.status);
  }
}

/** As get, of a text. */
export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  return (await ask(path, { headers: { accept: '*/*' } }, signal)).text();
}

/** Sends JSON; what comes back, null where nothing does. */
export async function send<T>(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<T | null> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json' };
  }
  const text = await (await ask(`/v1/observer/${path}`, init)).text();
  return text ? (JSON.parse(text) as T) : null;
}

/** `name?a=1&b=2` without what is empty. */
export function query(name: string, params: Record<string, string | number | boolean | null | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params))
    if (v !== null && v !== undefined && v !== '' && v !== false) q.set(k, String(v));
  const text = q.toString();
  return text ? `${name}?${text}` : name;
}
