// The frame: navigation, how it stands with the daemon, the view, the key, the help.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { key, setKey } from './api';
import { help } from './keys';
import { Say } from './parts/panels';
import { Text } from './parts/values';
import { FILTERS, filters, here, href, route, to } from './router';
import { answeredAt, fault, link, live, now, openedVersion, pollNow, restartedAt, retryAt, tick } from './store';
import { age, clock, count, rate } from './text';
import { choice, nextTheme } from './theme';
import { VIEWS } from './views';

const RESTART_SHOWN_MS = 60_000;

/* ---- beside ---- */

function Navigation(): JSX.Element {
  const current = route.value.view;
  const strip = useRef<HTMLElement>(null);
  useEffect(() => {
    strip.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [current]);
  const marks: Record<string, JSX.Element | null> = {
    failures: <Mark n={(live.value?.clusters?.new ?? 0) + (live.value?.clusters?.regressed ?? 0)} kind="is-change" what="new or regressed" />,
    alerts: <Mark n={live.value?.alerts?.firing ?? 0} kind="is-fail" what="firing" />,
  };
  return (
    <nav aria-label="views" ref={strip}>
      {VIEWS.map((v) => (
        <a href={to(v.name)} aria-current={v.name === current ? 'page' : undefined} title={`${v.asks}  (g ${v.key})`}>
          {v.label}
          {marks[v.name]}
        </a>
      ))}
    </nav>
  );
}

function Mark({ n, kind, what }: { n: number; kind: string; what: string }): JSX.Element | null {
  if (!n) return null;
  return (
    <span class={`mark num ${kind}`} title={`${count(n)} ${what}`}>
      {n > 999 ? '999+' : n}
    </span>
  );
}

function Foot(): JSX.Element {
  const [asks, setAsks] = useState(false);
  return (
    <footer class="foot">
      <button type="button" class="plain" onClick={nextTheme} title="light, dark, or as the system has it">
        ◐ {choice.value === 'auto' ? 'Auto' : choice.value === 'dark' ? 'Dark' : 'Light'}
      </button>
      <button type="button" class="plain" onClick={() => (key.value ? setKey('') : setAsks(!asks))} title="kept until this tab is closed">
        {key.value ? 'Forget key' : 'Key'}
      </button>
      <button type="button" class="plain" onClick={() => (help.value = true)}>
        Help <kbd>?</kbd>
      </button>
      {asks && !key.value && <KeyForm done={() => setAsks(false)} />}
      {live.value && <span class="version quiet">observer {live.value.version}</span>}
    </footer>
  );
}

/* ---- how it stands with the daemon ---- */

/** One line that is always there and never changes its height. */
function Standing(): JSX.Element {
  const l = live.value;
  const state = link.value;
  const words: Record<typeof state, string> = {
    loading: 'connecting',
    ok: 'live',
    idle: 'nothing recorded',
    stopped: 'not ready',
    stale: `no ops for ${age(l?.last_op, now.value)}`,
    offline: 'disconnected',
    key: 'key needed',
    scope: 'not allowed',
    fault: 'error',
  };
  return (
    <div class="standing" role="status">
      <span class={`dot is-${state}`} />
      <span>{words[state]}</span>
      {l && (state === 'ok' || state === 'stale') && (
        <span class="num quiet" title="operations a second, over the last minute">
          {rate(l.windows['1m'].ops / 60)} ops/s
        </span>
      )}
    </div>
  );
}

function Banner(): JSX.Element | null {
  const f = fault.value;
  const old = live.value ? ` What is shown is ${age(answeredAt.value, tick.value)} old.` : '';
  if (f && (f.fault === 'key' || f.fault === 'scope')) return null; // asked for in the place of the view
  if (f) {
    const left = Math.max(0, Math.ceil((retryAt.value - tick.value) / 1000));
    return (
      <div class="banner is-fail" role="alert">
        <span>
          {f.fault === 'offline' ? 'The daemon does not answer.' : `The daemon answered: ${f.message}.`}
          {old} Trying again{left > 0 ? ` in ${left} s` : ''}.
        </span>
        <button type="button" onClick={pollNow}>
          Now
        </button>
      </div>
    );
  }
  const l = live.value;
  if (l && !l.ready && route.value.view !== 'overview')
    return (
      <div class="banner is-fail" role="alert">
        <span>
          Not ready: <Text s={l.reasons.join('; ') || 'the daemon is not ready'} max={300} />
        </span>
      </div>
    );
  if (l && l.version !== openedVersion.value)
    return (
      <div class="banner is-change" role="status">
        <span>
          The daemon is now {l.version}; this is the page of {openedVersion.value}.
        </span>
        <button type="button" onClick={() => location.reload()}>
          Load its own
        </button>
      </div>
    );
  if (restartedAt.value && tick.value - restartedAt.value < RESTART_SHOWN_MS)
    return (
      <div class="banner is-change" role="status">
        <span>
          The daemon was restarted; seen at {clock(restartedAt.value, tick.value, true)}. What is recorded is all there; counts since its start begin again.
        </span>
        <button type="button" onClick={() => (restartedAt.value = 0)}>
          OK
        </button>
      </div>
    );
  return null;
}

/* ---- the key ---- */

function KeyForm({ done }: { done?: () => void }): JSX.Element {
  const [text, setText] = useState('');
  return (
    <form
      class="key-form"
      onSubmit={(e) => {
        e.preventDefault();
        if (!text.trim()) return;
        setKey(text);
        setText('');
        done?.();
      }}
    >
      <label>
        Key
        <input type="password" name="key" autocomplete="off" spellcheck={false} placeholder="obs_r_…" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      </label>
      <button type="submit">Use it</button>
    </form>
  );
}

function NeedsKey(): JSX.Element {
  const wrong = fault.value?.fault === 'scope';
  return (
    <Say title={wrong ? 'This key may not read.' : key.value ? 'The daemon does not know this key.' : 'This daemon wants a key.'} kind={key.value ? 'fail' : 'quiet'}>
      <p>
        Reading needs a key with the scope <code>read</code>: <code>observerctl key new viewer --keys FILE --scope read</code> on the daemon's machine makes one. It stays in this
        tab, and goes to {location.host} only.
      </p>
      {key.value && <p class="quiet">{fault.value?.message}</p>}
      <KeyForm />
    </Say>
  );
}

/* ---- what everything is narrowed down to ---- */

function FilterChips(): JSX.Element | null {
  const set = filters();
  const names = FILTERS.filter((n) => set[n]);
  if (!names.length) return null;
  return (
    <div class="chips" role="group" aria-label="filters">
      {names.map((n) => (
        <a class="chip" href={here({ [n]: null, cursor: null })} title={`without ${n}`}>
          <span class="quiet">{n}</span> <Text s={set[n]} max={40} /> <span aria-hidden="true">×</span>
        </a>
      ))}
    </div>
  );
}

/* ---- help ---- */

function Help(): JSX.Element {
  const box = useRef<HTMLDialogElement>(null);
  const wanted = help.value;
  useEffect(() => {
    if (wanted) box.current?.showModal();
    else box.current?.close();
  }, [wanted]);
  return (
    <dialog ref={box} class="help" aria-label="help" onClose={() => (help.value = false)} onClick={(e) => e.target === e.currentTarget && (help.value = false)}>
      {wanted && (
        <div class="help-body">
          <header class="panel-head">
            <h2>Keys and views</h2>
            <button type="button" class="plain" onClick={() => (help.value = false)}>
              Close
            </button>
          </header>
          <dl>
            {VIEWS.map((v) => (
              <>
                <dt>
                  <kbd>g</kbd> <kbd>{v.key}</kbd>
                </dt>
                <dd>
                  <b>{v.label}</b> {v.asks}
                </dd>
              </>
            ))}
            <dt>
              <kbd>/</kbd>
            </dt>
            <dd>to the filter of the view</dd>
            <dt>
              <kbd>j</kbd> <kbd>k</kbd>
            </dt>
            <dd>down and up through the rows, Enter opens one</dd>
            <dt>
              <kbd>?</kbd>
            </dt>
            <dd>this</dd>
          </dl>
          <p class="quiet">
            The address holds all that is chosen: a copied link shows the same. Times are of this machine's zone; point at one for all of it. Red is failure, blue
            is change. Everything comes from <a href="/openapi.json">the daemon's own routes</a>; no other host is asked. <a href="/assets/licenses.txt">Licences</a>
          </p>
        </div>
      )}
    </dialog>
  );
}

/* ---- all of it ---- */

function Lost(): JSX.Element {
  return (
    <Say title="There is no such view.">
      <p>
        <a href={href('overview')}>Overview</a>
      </p>
    </Say>
  );
}

export function App(): JSX.Element {
  const view = VIEWS.find((v) => v.name === route.value.view);
  const label = view?.label ?? 'observer';
  const firing = live.value?.alerts?.firing ?? 0;
  useEffect(() => {
    document.title = `${firing ? `(${firing}) ` : ''}${label} · observer`;
  }, [label, firing]);
  const Show = view?.show ?? Lost;
  const locked = link.value === 'key' || link.value === 'scope';
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.querySelector<HTMLElement>('main')?.focus())}>
        To the content
      </a>
      <header class="side">
        <a class="brand" href={href('overview')}>
          observer
        </a>
        <Standing />
        <Navigation />
        <Foot />
      </header>
      <main tabIndex={-1} id="main">
        <Banner />
        <FilterChips />
        {locked ? <NeedsKey /> : <Show />}
      </main>
      <Help />
    </div>
  );
}
