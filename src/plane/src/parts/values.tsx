// Values as they stand in text and tables.
import type { ComponentChildren, JSX } from 'preact';
import { here } from '../router';
import { now } from '../store';
import { age, clock, count, cut, millis, percent, visible } from '../text';

/** Text that somebody recorded. It stays text: what would not be seen, or would turn other text round, is named. */
export function Text({ s, max = 2_000 }: { s: string | null | undefined; max?: number }): JSX.Element {
  if (!s) return <span class="none">–</span>;
  return (
    <bdi>
      {visible(cut(String(s), max)).map((p) =>
        p.code ? (
          <span class="unseen" title={`character ${p.code}`}>
            {p.text}
          </span>
        ) : (
          p.text
        ),
      )}
    </bdi>
  );
}

export function Num({ v }: { v: number | null | undefined }): JSX.Element {
  return <span class="num">{count(v)}</span>;
}

/** A share of failures: red where there are any. */
export function Share({ v }: { v: number | null | undefined }): JSX.Element {
  return <span class={`num ${v ? 'fail' : ''}`}>{percent(v)}</span>;
}

export function Ms({ v }: { v: number | null | undefined }): JSX.Element {
  return <span class="num">{millis(v)}</span>;
}

/** `3 min`; the whole time is in the title. `ago`: with the word behind it. */
export function Ago({ t, ago = false }: { t: string | number | null | undefined; ago?: boolean }): JSX.Element {
  if (!t) return <span class="none">–</span>;
  return (
    <time class="num" dateTime={String(t)} title={String(t)}>
      {age(t, now.value)}
      {ago ? ' ago' : ''}
    </time>
  );
}

/** `12:04`, of this machine's time zone; the whole time is in the title. */
export function Clock({ t, seconds = false }: { t: string | number | null | undefined; seconds?: boolean }): JSX.Element {
  if (!t) return <span class="none">–</span>;
  return (
    <time class="num" dateTime={String(t)} title={String(t)}>
      {clock(t, now.value, seconds)}
    </time>
  );
}

/** The first digits of an id; all of it is in the title. */
export function Id({ v, chars = 4 }: { v: string; chars?: number }): JSX.Element {
  return (
    <code class="id" title={v}>
      {v.slice(0, chars)}
    </code>
  );
}

/** A value that narrows down everything when it is clicked. */
export function Filter({ name, value, children }: { name: string; value: string; children?: ComponentChildren }): JSX.Element {
  return (
    <a class="filter" href={here({ [name]: value, cursor: null })} title={`only ${name} ${value}`}>
      {children ?? <Text s={value} max={60} />}
    </a>
  );
}

const CHANGED = new Set(['new', 'regressed', 'pending', 'recovering']);

/** A state in one word. `firing` is a failure; what is new or has come back is a change; the rest is plain. */
export function State({ s }: { s: string }): JSX.Element {
  const kind = s === 'firing' ? 'is-fail' : CHANGED.has(s) ? 'is-change' : s === 'resolved' ? 'is-quiet' : '';
  return <span class={`state ${kind}`}>{s}</span>;
}
