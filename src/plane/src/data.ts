// A view's own questions: asked when it opens, when their path changes, and again when `moved` says that something was
// recorded. What was answered before stays on the screen until the next answer is there.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, get, getText, key, ready } from './api';
import { moved } from './store';

export interface Data<T> {
  /** The last answer to this path; null until there is one. */
  value: T | null;
  /** Why the last question failed; an older value may still be there. */
  error: ApiError | null;
  loading: boolean;
  /** When the value came, by this machine's clock. */
  at: number;
  reload: () => void;
}

export interface DataOptions {
  /** Ask again when something was recorded. Default true. */
  live?: boolean;
  /** The answer is text. */
  text?: boolean;
}

/** `path` null: nothing is asked. */
export function useData<T>(path: string | null, { live = true, text = false }: DataOptions = {}): Data<T> {
  const [state, set] = useState<{ path: string | null; value: T | null; error: ApiError | null; at: number }>(() => {
    const value = path === null ? undefined : ready<T>(path);
    return value === undefined ? { path: null, value: null, error: null, at: 0 } : { path, value, error: null, at: Date.now() };
  });
  const had = useRef(state.path !== null);
  const [asked, ask] = useState(0);
  const load = useRef<(() => void) | null>(null);
  const turn = live ? moved.value : 0;
  const withKey = key.value;
  useEffect(() => {
    if (path === null) return;
    const control = new AbortController();
    let busy = false;
    const run = async (): Promise<void> => {
      if (busy) return; // a slow answer is waited for, not asked for again
      busy = true;
      try {
        const value = text ? ((await getText(path, control.signal)) as T) : await get<T>(path, control.signal);
        if (!control.signal.aborted) set({ path, value, error: null, at: Date.now() });
      } catch (e) {
        if (control.signal.aborted) return;
        const error = e instanceof ApiError ? e : new ApiError('broken', String(e), path);
        set((old) => ({ path, value: old.path === path ? old.value : null, error, at: old.at }));
      } finally {
        busy = false;
      }
    };
    load.current = () => void run();
    if (!had.current) void run();
    had.current = false;
    return () => {
      load.current = null;
      control.abort();
    };
  }, [path, asked, withKey]);
  const first = useRef(true);
  useEffect(() => {
    if (first.current) first.current = false;
    else load.current?.();
  }, [turn]);
  const own = state.path === path;
  return {
    value: own ? state.value : null,
    error: own ? state.error : null,
    loading: path !== null && !own,
    at: state.at,
    reload: () => ask((n) => n + 1),
  };
}
