// What wakes somebody: what fires and why, what is silenced until when, and the rules in words.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiError, query, send } from '../api';
import { type Data, useData } from '../data';
import { Asked, Panel, Say, Truncated } from '../parts/panels';
import { Table } from '../parts/table';
import { Ago, Clock, Id, Num, State, Text } from '../parts/values';
import { href, here, route, to } from '../router';
import { count, many, span } from '../text';
import { live, now, tick } from '../store';
import type { Alert, Alerts, Paged } from '../types';
import { Choice, Side, chosen } from './side';
import './alerts.css';

const BEAT_MS = 5_000;

const STATES = [
  ['open', 'open'],
  ['firing', 'firing'],
  ['pending', 'pending'],
  ['resolved', 'resolved'],
  ['all', 'all'],
] as const;

interface Matcher {
  name: string;
  value: string;
  glob: boolean;
}
interface Silence {
  id: number | string;
  state?: string;
  matchers: Matcher[];
  from?: string;
  until: string;
  author: string;
  comment: string;
}
interface Silences extends Paged {
  silences: Silence[];
}
interface Rule {
  id: string;
  on: string;
  severity: string;
  text: string;
  definition: unknown;
  builtin: boolean;
  groups: number;
  firing: number;
  pending: number;
  fired_total: number;
  last_fired: string | null;
}
interface Rules {
  file: string | null;
  problem: string | null;
  rules: Rule[];
}

/** An alert has a number for each time that it begins. */
interface Row extends Alert {
  number: number;
}
const idOf = (a: Row): string => String(a.number);

/** Between 0 and 1 it is a share. */
function number(v: number | null, threshold: number | null): string {
  if (v === null) return '–';
  const share = threshold !== null && threshold > 0 && threshold <= 1;
  return share ? `${(v * 100).toFixed(v < 0.0995 ? 1 : 0)} %` : v < 10 && v % 1 ? v.toFixed(1) : count(v);
}

function Group({ group }: { group: Record<string, string> }): JSX.Element {
  const list = Object.entries(group);
  if (!list.length) return <span class="none">–</span>;
  return (
    <>
      {list.map(([name, value]) => (
        <span title={name}>
          <Text s={value} max={60} />{' '}
        </span>
      ))}
    </>
  );
}

/* ---- silences ---- */

const HOURS = [
  ['1h', '1 hour'],
  ['4h', '4 hours'],
  ['1d', '1 day'],
  ['7d', '7 days'],
] as const;

/** What a change of the daemon came to. */
function useChange(): [said: string, change: (act: () => Promise<unknown>, done: string) => void] {
  const [said, say] = useState('');
  const change = (act: () => Promise<unknown>, done: string): void => {
    say('');
    act().then(
      () => say(done),
      (e: unknown) => say(e instanceof ApiError ? (e.fault === 'scope' ? 'The key must have the scope admin for this.' : e.message) : String(e)),
    );
  };
  return [said, change];
}

function SilenceForm({ alert, done }: { alert: Alert; done: () => void }): JSX.Element {
  const [lasting, setLasting] = useState<string>('4h');
  const [comment, setComment] = useState('');
  const [said, change] = useChange();
  const matchers = [{ name: 'rule', value: alert.rule, glob: false }, ...Object.entries(alert.group).map(([name, value]) => ({ name, value, glob: false }))];
  return (
    <form
      class="silence-form"
      onSubmit={(e) => {
        e.preventDefault();
        change(async () => {
          await send('POST', 'silences', { matchers, for: lasting, comment });
          done();
        }, 'Silenced.');
      }}
    >
      <label>
        for
        <select value={lasting} onChange={(e) => setLasting(e.currentTarget.value)}>
          {HOURS.map(([value, words]) => (
            <option value={value}>{words}</option>
          ))}
        </select>
      </label>
      <label class="grow">
        why
        <input value={comment} onInput={(e) => setComment(e.currentTarget.value)} required />
      </label>
      <button type="submit">Silence</button>
      {said && (
        <p class="note" role="status">
          {said}
        </p>
      )}
    </form>
  );
}

function SilenceList({ data }: { data: Data<Silences> }): JSX.Element {
  const [said, change] = useChange();
  return (
    <Panel title="Silences">
      <Asked data={data} rows={1}>
        {(v) => v.silences.length === 0 ? <p class="quiet">None. An open alert can be silenced for a while: it is still shown, and nobody is told.</p> : (
          <Table
            label="silences"
            rows={v.silences}
            id={(s) => s.id}
            columns={[
              { head: 'of', class: 'alert-rule', cell: (s) => <>{s.matchers.map((m) => <span><span class="quiet">{m.name} </span><Text s={m.value} max={60} /> </span>)}</> },
              { head: 'why', class: 'grow', cell: (s) => <span class="one-line"><Text s={s.comment} max={200} /></span> },
              { head: 'by', class: 'mid', cell: (s) => <Text s={s.author} max={30} /> },
              { head: 'ends in', right: true, cell: (s) => <span class="num" title={s.until}>{span(Date.parse(s.until) - now.value)}</span> },
              {
                head: '',
                right: true,
                cell: (s) => (
                  <button
                    type="button"
                    class="plain"
                    onClick={() =>
                      change(async () => {
                        await send('DELETE', `silences/${encodeURIComponent(s.id)}`);
                        data.reload();
                      }, 'Ended.')
                    }
                  >
                    end
                  </button>
                ),
              },
            ]}
          />
        )}
      </Asked>
      {said && (
        <p class="note" role="status">
          {said}
        </p>
      )}
    </Panel>
  );
}

/* ---- one alert ---- */

function About({ a, rule, silenced }: { a: Row; rule: Rule | undefined; silenced: () => void }): JSX.Element {
  const close = href('alerts', [], route.value.params);
  const most = Math.max(a.value ?? 0, a.threshold ?? 0);
  return (
    <Side title={<><Text s={a.rule} max={60} /> <State s={a.state} /></>} close={close}>
      <p>
        <Text s={a.text} max={500} />
      </p>
      {a.value !== null && a.threshold !== null && most > 0 && (
        <div class="against" role="img" aria-label={`${number(a.value, a.threshold)}, the limit is ${number(a.threshold, a.threshold)}`}>
          <i class={a.state === 'firing' ? 'is-fail' : ''} style={{ width: `${(a.value / most) * 100}%` }} />
          <b style={{ left: `${(a.threshold / most) * 100}%` }} />
        </div>
      )}
      <dl class="pairs">
        <div><dt>value</dt><dd class="num">{number(a.value, a.threshold)}</dd></div>
        <div><dt>limit</dt><dd class="num">{number(a.threshold, a.threshold)}</dd></div>
        {Object.entries(a.group).map(([name, value]) => <div><dt>{name}</dt><dd><Text s={value} max={80} /></dd></div>)}
        <div><dt>since</dt><dd><Clock t={a.since} seconds /></dd></div>
        {a.fired && <div><dt>fired</dt><dd><Clock t={a.fired} seconds /></dd></div>}
        {a.resolved && <div><dt>resolved</dt><dd><Clock t={a.resolved} seconds /></dd></div>}
        <div><dt>told</dt><dd>{a.notified ? <Clock t={a.notified} seconds /> : a.silenced_by ? 'silenced' : 'nobody'}</dd></div>
      </dl>
      {(a.cluster || a.group.endpoint) && (
        <p class="actions">
          {a.cluster && (
            <a class="button" href={to('failures', [a.cluster])}>
              The failures <Id v={a.cluster} />
            </a>
          )}
          {a.group.endpoint && (
            <a class="button" href={href('map', ['endpoint', a.group.endpoint])}>
              On the map
            </a>
          )}
        </p>
      )}
      {a.seqs.length > 0 && (
        <>
          <h3>Ops that show it</h3>
          <p class="seqs num">
            {a.seqs.slice(0, 12).map((seq) => (
              <a href={href('console', [], { seq })}>{seq}</a>
            ))}
          </p>
        </>
      )}
      {rule && (
        <>
          <h3>The rule</h3>
          <p>{rule.text}</p>
        </>
      )}
      {a.state !== 'resolved' && !a.silenced_by && (
        <>
          <h3>Silence it</h3>
          <SilenceForm alert={a} done={silenced} />
        </>
      )}
    </Side>
  );
}

/* ---- rules ---- */

function RuleList({ data }: { data: Data<Rules> }): JSX.Element {
  const [open, setOpen] = useState<string | null>(null);
  return (
    <Panel title="Rules" side={data.value && (data.value.file ? <code>{data.value.file}</code> : 'those that are built in')}>
      <Asked data={data} rows={6}>
        {(v) => (
          <>
            {v.rules.length === 0 && <p class="quiet">No rule is on.</p>}
            {v.problem && (
              <p class="note is-fail" role="alert">
                The file is not used: <Text s={v.problem} max={400} />. The last good rules hold.
              </p>
            )}
            <ul class="rules">
              {v.rules.map((r) => (
                <li key={r.id} id={`rule-${r.id}`}>
                  <button type="button" aria-expanded={open === r.id} onClick={() => setOpen(open === r.id ? null : r.id)}>
                    <b><Text s={r.id} max={60} /></b>
                    <span class="rule-text"><Text s={r.text} max={300} /></span>
                    <span class="quiet mid">{r.severity}</span>
                    <span class="num quiet mid">{many(r.groups, 'group')}</span>
                    <span class={`num ${r.firing ? 'fail' : 'quiet'}`}>{r.firing ? `${count(r.firing)} firing` : r.pending ? `${count(r.pending)} pending` : 'quiet'}</span>
                  </button>
                  {open === r.id && (
                    <div class="rule-more">
                      <p class="quiet">
                        {r.builtin ? 'Built in. ' : ''}Fired {count(r.fired_total)} {r.fired_total === 1 ? 'time' : 'times'}
                        {r.last_fired ? <>, last <Ago t={r.last_fired} ago /></> : null}. Of a severity of {r.severity}.
                      </p>
                      <pre>{JSON.stringify(r.definition, null, 2)}</pre>
                    </div>
                  )}
                </li>
              ))}
            </ul>
          </>
        )}
      </Asked>
    </Panel>
  );
}

/* ---- all of it ---- */

export function AlertsView(): JSX.Element {
  const { params, parts } = route.value;
  const state = chosen(STATES, params.state, 'open');
  const asked = state === 'open' || state === 'all' ? null : state;
  const alerts = useData<Omit<Alerts, 'alerts'> & { alerts: Row[] }>(query('alerts', { state: asked, rule: params.rule, limit: 200 }), { live: false });
  const rules = useData<Rules>('rules', { live: false });
  const silences = useData<Silences>('silences', { live: false });
  // Alerts begin and end by the clock as well, when nothing is recorded.
  const beat = Math.floor(tick.value / BEAT_MS);
  const counts = live.value?.alerts;
  useEffect(() => {
    for (const data of [alerts, rules, silences]) data.reload();
  }, [beat, counts?.firing, counts?.pending]);
  const rows = (alerts.value?.alerts ?? []).filter((a) => state !== 'open' || a.state !== 'resolved');
  const chosenRow = rows.find((a) => idOf(a) === parts[0]);
  return (
    <div class="view-alerts">
      <div class="toolbar">
        <Choice label="state" param="state" options={STATES} value={state} />
        {params.rule && (
          <a class="plain" href={here({ rule: null })}>
            only <Text s={params.rule} max={40} /> ×
          </a>
        )}
      </div>
      <div class={chosenRow ? 'with-side' : ''}>
        <div class="alerts-main">
          <Asked data={alerts} rows={4}>
            {(v) => rows.length === 0 ? (
              <Say title={state === 'open' ? 'Nothing fires.' : 'None.'}><p>{rules.value ? `${many(rules.value.rules.length, 'rule')} ${rules.value.rules.length === 1 ? 'looks' : 'look'} on; below is what each would wake somebody for.` : ''}</p></Say>
            ) : (
              <>
                <Table
                  label="alerts"
                  rows={rows}
                  id={idOf}
                  link={(a) => href('alerts', [idOf(a)], params)}
                  rowClass={(a) => (a.state === 'resolved' ? 'is-over' : idOf(a) === parts[0] ? 'is-chosen' : '')}
                  columns={[
                    { head: 'state', cell: (a) => <State s={a.state} /> },
                    { head: 'rule', class: 'alert-rule mid', cell: (a) => <a href={href('alerts', [idOf(a)], params)}><Text s={a.rule} max={40} /></a> },
                    { head: 'of', class: 'mid', cell: (a) => <span class="one-line alert-group"><Group group={a.group} /></span> },
                    { head: 'what', class: 'grow', cell: (a) => <span class="one-line"><Text s={a.text} max={300} /></span> },
                    { head: 'value', right: true, class: 'mid', cell: (a) => <span class="num">{number(a.value, a.threshold)}<span class="quiet"> / {number(a.threshold, a.threshold)}</span></span>, title: 'the value, and the limit' },
                    { head: 'since', right: true, cell: (a) => <Ago t={a.since} ago /> },
                    { head: 'told', right: true, class: 'wide', cell: (a) => (a.silenced_by ? <span class="quiet">silenced</span> : a.notified ? <Ago t={a.notified} ago /> : <span class="none">–</span>) },
                  ]}
                />
                {v.held_back > 0 && <p class="note"><Num v={v.held_back} /> notifications were held back for the hour; their digest says of what.</p>}
                {v.next_cursor && <Truncated shown={rows.length} hint="narrow by a rule" />}
              </>
            )}
          </Asked>
        </div>
        {chosenRow && (
          <About
            key={parts[0]}
            a={chosenRow}
            rule={rules.value?.rules.find((r) => r.id === chosenRow.rule)}
            silenced={() => {
              silences.reload();
              alerts.reload();
            }}
          />
        )}
      </div>
      <SilenceList data={silences} />
      <RuleList data={rules} />
    </div>
  );
}
