// What has been learned that can be used now: dos and don'ts with their effect, corrections, and the advice an agent gets.
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { query } from '../api';
import { useData } from '../data';
import { Asked, Panel, Say, Truncated } from '../parts/panels';
import { Ago, Id, Ms, Num, State, Text } from '../parts/values';
import { here, href, route, setParams, to } from '../router';
import { ops } from '../store';
import { bytes, count, many, percent } from '../text';
import type { Op, Paged } from '../types';
import { Choice, Side, chosen } from './side';
import './knowledge.css';

const LIMIT = 200;
const KINDS = [
  ['all', 'all'],
  ['do', 'do'],
  ['dont', 'don’t'],
  ['corrections', 'corrections'],
  ['retired', 'retired'],
] as const;

interface Half {
  ops: number;
  failures: number;
  rate: number | null;
}
interface Uplift {
  advised: Half;
  others: Half;
  difference: number;
  low: number;
  high: number;
}
interface Effect {
  before: Half;
  after: Half;
  difference: number | null;
  low: number | null;
  high: number | null;
  basis: 'since' | 'exposure' | 'holdout';
  uplift: Uplift | null;
}
interface Entry {
  id: string;
  version: number;
  time: string;
  change: string;
  kind: 'do' | 'dont';
  endpoint: string | null;
  task_class: string | null;
  cluster: string | null;
  text: string;
  successes: number | null;
  evidence: number[];
  created: string;
  effect: Effect;
  retired: boolean;
}
interface EntryInFull extends Entry {
  pattern: string | null;
  pattern_share: number | null;
  recent: string[];
  p50_ms: number | null;
  p95_ms: number | null;
  staffers: { value: string; count: number }[];
  task_classes: { value: string; count: number }[];
  history: { version: number; time: string; change: string; fields: string[] }[];
}
interface Entries extends Paged {
  playbooks: Entry[];
}
interface Corrections extends Paged {
  ops: { seq: number; op: Op & { correction?: string; applied_at_turn?: number } }[];
}

/* ---- the effect ---- */

const points = (v: number): string => `${v > 0 ? '+' : v < 0 ? '−' : ''}${Math.abs(v * 100).toFixed(Math.abs(v) < 0.0995 ? 1 : 0)}`;

function Pair({ a, b, names, difference, low, high }: { a: Half; b: Half; names: [string, string]; difference: number | null; low: number | null; high: number | null }): JSX.Element | null {
  if (a.rate === null && b.rate === null) return null;
  const top = Math.max(0.02, a.rate ?? 0, b.rate ?? 0);
  const sure = low !== null && high !== null && (low > 0 || high < 0);
  const row = (name: string, s: Half, worse: boolean): JSX.Element => (
    <>
      <span class="quiet">{name}</span>
      <span class={`effect-bar ${worse ? 'is-worse' : ''}`} aria-hidden="true">
        <i style={{ width: `${((s.rate ?? 0) / top) * 100}%` }} />
      </span>
      <span class="num">
        {percent(s.rate)} <span class="quiet">of {count(s.ops)}</span>
      </span>
    </>
  );
  return (
    <div class="effect" title="share of failures">
      {row(names[0], a, false)}
      {row(names[1], b, sure && (difference ?? 0) > 0)}
      {difference !== null && low !== null && high !== null && (
        <p class="effect-says quiet num">
          <b class={sure ? '' : 'quiet'}>{points(difference)}</b> points failed, {points(low)} to {points(high)}
          {!sure && ': may be chance'}
        </p>
      )}
    </div>
  );
}

/** What was before and since; where it is known, those who were advised beside the others. */
function EffectOf({ e }: { e: Effect }): JSX.Element | null {
  const u = e.uplift;
  if (u) return <Pair a={u.others} b={u.advised} names={[e.basis === 'holdout' ? 'held back' : 'did not ask', 'advised']} difference={u.difference} low={u.low} high={u.high} />;
  return <Pair a={e.before} b={e.after} names={['before', 'since']} difference={e.difference} low={e.low} high={e.high} />;
}

/* ---- cards ---- */

function Scope({ endpoint, taskClass }: { endpoint: string | null; taskClass: string | null | undefined }): JSX.Element {
  return (
    <span class="quiet kb-scope">
      {endpoint === null ? 'anywhere' : <Text s={endpoint} max={60} />}
      {taskClass ? (
        <>
          {' '}
          · <Text s={taskClass} max={40} />
        </>
      ) : null}
    </span>
  );
}

function Evidence({ seqs }: { seqs: number[] }): JSX.Element | null {
  if (!seqs.length) return null;
  return (
    <span class="kb-evidence quiet">
      shown by{' '}
      {seqs.map((seq) => (
        <a class="num" href={href('console', [], { seq })}>
          {seq}
        </a>
      ))}
    </span>
  );
}

function Card({ e, open }: { e: Entry; open: boolean }): JSX.Element {
  return (
    <article class={`kb ${e.retired ? 'is-retired' : ''} ${open ? 'is-chosen' : ''}`}>
      <header>
        <b class="kb-kind">{e.kind === 'do' ? 'Do' : 'Don’t'}</b>
        <Scope endpoint={e.endpoint} taskClass={e.task_class} />
        <span class="quiet">
          <Ago t={e.time} ago />
        </span>
      </header>
      <p>
        <a class="kb-text" href={open ? href('knowledge', [], route.value.params) : href('knowledge', [e.id], route.value.params)} data-row aria-current={open ? 'true' : undefined}>
          <Text s={e.text} max={500} />
        </a>
      </p>
      {e.retired && <p class="quiet">Retired: those who were advised it failed more than the others. It is kept, and advised no more.</p>}
      <EffectOf e={e.effect} />
      <footer>
        <Evidence seqs={e.evidence} />
        {e.cluster && (
          <a class="quiet" href={to('failures', [e.cluster])}>
            kind <Id v={e.cluster} />
          </a>
        )}
      </footer>
    </article>
  );
}

function CorrectionCard({ seq, op }: Corrections['ops'][number]): JSX.Element {
  return (
    <article class="kb">
      <header>
        <b class="kb-kind change">Correction</b>
        <Scope endpoint={op.task_class ?? null} taskClass={null} />
        <span class="quiet">
          <Ago t={op.timestamp} ago />
        </span>
      </header>
      <p>
        <a class="kb-text" href={href('console', [], { seq })} data-row>
          <Text s={op.correction || op.output_summary || op.input_summary} max={500} />
        </a>
      </p>
      <p class="quiet">
        by <Text s={op.endpoint.replace(/^overseer:/, '')} max={60} />
        {op.applied_at_turn !== undefined && <>, at turn {op.applied_at_turn}</>}
        {op.sig_hash && (
          <>
            , for <a href={href('trajectory', [], { sig_hash: op.sig_hash })}><Text s={op.sig_hash} max={20} /></a>
          </>
        )}
      </p>
    </article>
  );
}

/* ---- beside ---- */

function Counted({ title, list }: { title: string; list: { value: string; count: number }[] }): JSX.Element | null {
  if (!list.length) return null;
  return (
    <>
      <h3>{title}</h3>
      <dl class="pairs">
        {list.slice(0, 6).map((s) => (
          <div>
            <dt>
              <Text s={s.value} max={40} />
            </dt>
            <dd>
              <Num v={s.count} />
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function InFull({ id }: { id: string }): JSX.Element {
  const data = useData<EntryInFull>(`playbooks/${encodeURIComponent(id)}`);
  return (
    <Side title={<>Entry <Id v={id} chars={8} /></>} close={href('knowledge', [], route.value.params)}>
      <Asked data={data} rows={5}>
        {(e) => (
          <>
            <p>
              <Text s={e.text} />
            </p>
            <dl class="pairs">
              <div><dt>made</dt><dd><Ago t={e.created} ago /></dd></div>
              <div><dt>edited</dt><dd><Num v={e.version} /> <span class="quiet">times, last <Ago t={e.time} ago /></span></dd></div>
              {e.successes !== null && <div><dt>successes</dt><dd><Num v={e.successes} /></dd></div>}
              {e.p50_ms !== null && <div><dt>takes</dt><dd><Ms v={e.p50_ms} /> <span class="quiet">to <Ms v={e.p95_ms} /></span></dd></div>}
            </dl>
            {e.pattern && (
              <>
                <h3>Input that works</h3>
                <p>
                  <Text s={e.pattern} max={300} /> {e.pattern_share !== null && <span class="quiet num">{percent(e.pattern_share)} of its successes</span>}
                </p>
              </>
            )}
            <Counted title="Who succeeded" list={e.staffers} />
            <Counted title="At what" list={e.task_classes} />
            <h3>Edits</h3>
            <ul class="plain-list">
              {[...e.history].reverse().slice(0, 8).map((h) => (
                <li>
                  <State s={h.change} /> <span class="quiet">{h.fields.join(', ')}</span> <Ago t={h.time} ago />
                </li>
              ))}
            </ul>
          </>
        )}
      </Asked>
    </Side>
  );
}

interface AdviceAnswer {
  findings: { text: string; evidence: number[] }[];
  entries: { id: string; kind: string; text: string }[];
  clusters: { id: string; state: string; count: number; template: string }[];
  corrections: { seq: number; text: string; succeeded: number; failed: number }[];
  note?: string;
  as_of: number;
}

function Told({ a }: { a: AdviceAnswer }): JSX.Element {
  const nothing = !a.findings.length && !a.entries.length && !a.clusters.length && !a.corrections.length;
  return (
    <>
      {nothing && <p class="quiet">Nothing: {a.note ?? 'nothing is known here'}.</p>}
      {a.findings.length > 0 && <h3>Findings</h3>}
      <ul class="plain-list">
        {a.findings.map((f) => (
          <li>
            <Text s={f.text} max={400} /> <Evidence seqs={f.evidence} />
          </li>
        ))}
      </ul>
      {a.entries.length > 0 && <h3>Playbook</h3>}
      <ul class="plain-list">
        {a.entries.map((e) => (
          <li>
            <b>{e.kind === 'do' ? 'Do' : 'Don’t'}</b> <Text s={e.text} max={400} />
          </li>
        ))}
      </ul>
      {a.clusters.length > 0 && <h3>Open kinds of failure</h3>}
      <ul class="last-ops">
        {a.clusters.map((c) => (
          <li>
            <a href={to('failures', [c.id])}>
              <Text s={c.template} max={120} />
            </a>
            <span class="quiet">
              <State s={c.state} />, {many(c.count, 'failure')}
            </span>
          </li>
        ))}
      </ul>
      {a.corrections.length > 0 && <h3>Corrections</h3>}
      <ul class="plain-list">
        {a.corrections.map((c) => (
          <li>
            <a href={href('console', [], { seq: c.seq })}>
              <Text s={c.text} max={300} />
            </a>{' '}
            <span class="quiet num">
              then {count(c.succeeded)} succeeded, {count(c.failed)} failed
            </span>
          </li>
        ))}
      </ul>
      <p class="note quiet num">
        {bytes(new TextEncoder().encode(JSON.stringify(a)).length)} of 1,000 at most, as of op {count(a.as_of)}
      </p>
    </>
  );
}

function Advice({ endpoints }: { endpoints: string[] }): JSX.Element {
  const { params } = route.value;
  const [endpoint, setEndpoint] = useState(params.endpoint ?? '');
  const [taskClass, setTaskClass] = useState(params.task_class ?? '');
  useEffect(() => {
    setEndpoint(params.endpoint ?? '');
    setTaskClass(params.task_class ?? '');
  }, [params.endpoint, params.task_class]);
  const asked = params.endpoint || params.task_class;
  const data = useData<AdviceAnswer>(asked ? query('advice', { endpoint: params.endpoint, task_class: params.task_class }) : null);
  return (
    <aside class="beside panel">
      <header class="panel-head">
        <h2>The advice an agent gets here</h2>
      </header>
      <form
        class="kb-ask"
        onSubmit={(e) => {
          e.preventDefault();
          setParams({ endpoint, task_class: taskClass });
        }}
      >
        <label>
          endpoint
          <input value={endpoint} list="kb-endpoints" onInput={(e) => setEndpoint(e.currentTarget.value)} spellcheck={false} />
        </label>
        <label>
          task class
          <input value={taskClass} onInput={(e) => setTaskClass(e.currentTarget.value)} spellcheck={false} />
        </label>
        <datalist id="kb-endpoints">
          {endpoints.map((e) => (
            <option value={e} />
          ))}
        </datalist>
        <button type="submit">Ask</button>
      </form>
      {asked ? (
        <Asked data={data} rows={4}>
          {(a) => <Told a={a} />}
        </Asked>
      ) : (
        <p class="quiet">Before an agent acts it asks what is known of the endpoint or the task class. Choose one to read its answer; the list is narrowed down to it as well.</p>
      )}
    </aside>
  );
}

/* ---- all of it ---- */

function Search({ value }: { value: string }): JSX.Element {
  return <input class="search" type="search" data-filter aria-label="search" placeholder="search" value={value} onInput={(e) => setParams({ q: e.currentTarget.value })} />;
}

export function Knowledge(): JSX.Element {
  const { params, parts } = route.value;
  const kind = chosen(KINDS, params.kind, 'all');
  const entries = useData<Entries>(query('playbooks', { endpoint: params.endpoint, task_class: params.task_class, limit: LIMIT }));
  const corrections = useData<Corrections>(query('ops', { source: 'overseer_correction', task_class: params.task_class, limit: 50 }));
  const q = (params.q ?? '').toLowerCase();
  const fits = (...texts: (string | null | undefined)[]): boolean => !q || texts.some((t) => t?.toLowerCase().includes(q));
  const shown = useMemo(() => {
    const rank = (e: Entry): number => (e.retired ? 2 : e.kind === 'dont' ? 0 : 1);
    return (entries.value?.playbooks ?? [])
      .filter((e) => (kind === 'all' ? true : kind === 'retired' ? e.retired : e.kind === kind && !e.retired))
      .filter((e) => fits(e.text, e.endpoint, e.task_class))
      .sort((a, b) => rank(a) - rank(b) || (a.time < b.time ? 1 : -1));
  }, [entries.value, kind, q]);
  const said = kind === 'all' || kind === 'corrections' ? (corrections.value?.ops ?? []).filter(({ op }) => fits(op.correction, op.task_class, op.endpoint)) : [];
  const seen = ops.value;
  const endpoints = useMemo(
    () => [...new Set([...(entries.value?.playbooks ?? []).flatMap((e) => (e.endpoint === null ? [] : [e.endpoint])), ...seen.map((o) => o.op.endpoint)])].sort().slice(0, 100),
    [entries.value, seen.length > 0],
  );
  const open = parts[0];
  return (
    <div class="view-knowledge">
      <div class="toolbar">
        <Choice label="what is shown" param="kind" options={KINDS} value={kind} />
        <Search value={params.q ?? ''} />
      </div>
      <div class="with-side">
        <div class="kb-main">
          {kind !== 'corrections' && (
            <Panel title="Playbook" side={entries.value ? count(shown.length) : undefined}>
              <Asked
                data={entries}
                rows={6}
                isEmpty={() => shown.length === 0}
                empty={<Say title={q || kind !== 'all' || params.endpoint ? 'No entry fits.' : 'Nothing has been learned yet.'}><p>Entries come from what works often and from failures whose cause was found; the first take a few cycles.</p></Say>}
              >
                {(v) => (
                  <>
                    <div class="kb-list">
                      {shown.map((e) => (
                        <Card key={e.id} e={e} open={e.id === open} />
                      ))}
                    </div>
                    {v.next_cursor && <Truncated shown={v.playbooks.length} total={v.total} hint="narrow by an endpoint" />}
                  </>
                )}
              </Asked>
            </Panel>
          )}
          {(kind === 'all' || kind === 'corrections') && (
            <Panel title="Corrections" side={corrections.value ? count(said.length) : undefined}>
              <Asked data={corrections} rows={2}>
                {() =>
                  said.length === 0 ? (
                    <p class="quiet">{q || params.task_class ? 'None fits.' : 'No overseer has said anything yet.'}</p>
                  ) : (
                    <div class="kb-list">
                      {said.map((c) => (
                        <CorrectionCard key={c.seq} {...c} />
                      ))}
                    </div>
                  )
                }
              </Asked>
            </Panel>
          )}
        </div>
        {open ? <InFull key={open} id={open} /> : <Advice endpoints={endpoints} />}
      </div>
      {params.task_class && (
        <p class="note">
          Only the task class <Text s={params.task_class} max={60} />. <a href={here({ task_class: null })}>All</a>
        </p>
      )}
    </div>
  );
}
