// Panels, and what stands in one when there is nothing else to show: empty, loading, refused, broken, cut short.
import type { ComponentChildren, JSX } from 'preact';
import { type ApiError, key } from '../api';
import { type Data, useData } from '../data';
import { link, now, tick } from '../store';
import { age, count } from '../text';

interface PanelProps {
  title?: ComponentChildren;
  /** Beside the title, to the right. */
  side?: ComponentChildren;
  children: ComponentChildren;
  class?: string;
  id?: string;
}

export function Panel({ title, side, children, class: name = '', id }: PanelProps): JSX.Element {
  return (
    <section class={`panel ${name}`} id={id}>
      {(title !== undefined || side !== undefined) && (
        <header class="panel-head">
          <h2>{title}</h2>
          {side !== undefined && <div class="panel-side">{side}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

interface SayProps {
  /** One line that says what is; it may stand elsewhere already. */
  title?: ComponentChildren;
  children?: ComponentChildren;
  kind?: 'quiet' | 'fail' | 'change';
}

/** A state in words. */
export function Say({ title, children, kind = 'quiet' }: SayProps): JSX.Element {
  return (
    <div class={`say is-${kind}`} role={kind === 'fail' ? 'alert' : 'status'}>
      {title !== undefined && <p class="say-title">{title}</p>}
      {children !== undefined && <div class="say-more">{children}</div>}
    </div>
  );
}

/** `titled`: that nothing is recorded is said above already. */
export function NothingYet({ titled = false }: { titled?: boolean }): JSX.Element {
  const health = useData<{ fleet?: { records: boolean } | null }>('/health', { live: false });
  if (health.value?.fleet?.records === false)
    return (
      <Say title={titled ? undefined : 'Nothing is recorded here.'}>
        <p>This worker folds what edges forward, and records nothing itself. Look at the page of an edge, or ask for all of the fleet:</p>
        <pre class="command">{`curl '${location.origin}/v1/observer/summary?scope=cluster'`}</pre>
      </Say>
    );
  const to = location.host === '127.0.0.1:3800' && location.protocol === 'http:' ? '' : ` --url ${location.origin}`;
  return (
    <Say title={titled ? undefined : 'Nothing has been recorded yet.'}>
      <p>An op from a shell:</p>
      <pre class="command">
        {key.value
          ? `observerctl pub --endpoint /hello --success --url ${location.origin}   # OBSERVER_KEY_FILE names the file of its key`
          : `curl ${location.origin}/v1/observer/event -H 'content-type: application/json' \\\n  -d '{"endpoint":"/hello","success":true,"duration_ms":12}'`}
      </pre>
      <p>A made-up fleet whose failures have known causes, to look around in:</p>
      <pre class="command">{`observerctl demo${to}`}</pre>
    </Say>
  );
}

const WORDS: Record<string, string> = {
  offline: 'The daemon does not answer.',
  key: 'This needs a key.',
  scope: 'The key is not allowed to see this.',
  absent: 'This is not here.',
  busy: 'The daemon cannot answer this now.',
  refused: 'The daemon does not take this question.',
  broken: 'The answer was not understood.',
};

export function Failed({ error, reload }: { error: ApiError; reload?: (() => void) | undefined }): JSX.Element {
  return (
    <Say title={WORDS[error.fault]} kind={error.fault === 'absent' ? 'quiet' : 'fail'}>
      <p>{error.message}</p>
      <p class="quiet">
        {error.status > 0 ? `${error.status}, ` : ''}
        <code>{error.path}</code>
      </p>
      {reload && error.fault !== 'key' && (
        <button type="button" onClick={reload}>
          Try again
        </button>
      )}
    </Say>
  );
}

/** Rows that stand for those to come, so that nothing jumps when they do. */
export function Waiting({ rows = 4 }: { rows?: number }): JSX.Element {
  return (
    <div class="waiting" role="status" aria-label="loading">
      {Array.from({ length: rows }, () => (
        <i />
      ))}
    </div>
  );
}

interface AskedProps<T> {
  data: Data<T>;
  /** Whether an answer has nothing to show. */
  isEmpty?: (value: T) => boolean;
  /** What is said then; without it, that nothing has been recorded, or that nothing matches. */
  empty?: ComponentChildren;
  rows?: number;
  children: (value: T) => ComponentChildren;
}

/** What a question brought, or why it brought nothing. An older answer stays, with its age, when the next one fails. */
export function Asked<T>({ data, isEmpty, empty, rows = 4, children }: AskedProps<T>): JSX.Element {
  const { value, error, reload } = data;
  if (value === null) return error ? <Failed error={error} reload={reload} /> : <Waiting rows={rows} />;
  return (
    <>
      {error && link.value !== 'offline' && (
        <p class="note is-fail" role="status">
          From {age(data.at, tick.value)} ago: {error.message}.
        </p>
      )}
      {isEmpty?.(value) ? (link.value === 'idle' ? <NothingYet /> : (empty ?? <Say title="Nothing here." />)) : children(value)}
    </>
  );
}

/** Under a list that is longer than what is shown. */
export function Truncated({ shown, total, hint, more }: { shown: number; total?: number | null | undefined; hint?: string; more?: (() => void) | undefined }): JSX.Element {
  return (
    <p class="note" role="status">
      Showing {count(shown)}
      {total ? ` of ${count(total)}` : ', and there is more'}
      {hint ? `; ${hint}` : ''}.
      {more && (
        <button type="button" class="plain" onClick={more}>
          Show more
        </button>
      )}
    </p>
  );
}

/** `as of 3 s ago`: shown where numbers may be old. */
export function AsOf({ at }: { at: number }): JSX.Element {
  return <span class="quiet num">as of {age(at, now.value - (now.value - tick.value))} ago</span>;
}
