// What kinds of failure are there, since when, how bad? The list, ordered by what they cost; one of them on its own page.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import './failures.css';
import { query } from '../api';
import { useData } from '../data';
import { clusterLink, Template, Trend, Where } from '../parts/failure';
import { Asked, Say } from '../parts/panels';
import { Table } from '../parts/table';
import { Ago, Num, State } from '../parts/values';
import { filters, here, route, setParams } from '../router';
import { link } from '../store';
import { count, span } from '../text';
import type { ClusterRow, Clusters } from '../types';
import { ClusterPage } from './cluster';

const PAGE = 50;
const TYPING_MS = 250;
const STATES = ['new', 'regressed', 'ongoing', 'resolved'];
const ORDERS: Record<string, string> = {
  impact: 'what costs most',
  last_seen: 'last seen',
  first_seen: 'newest',
  count: 'most failures',
  rate: 'most in the last hour',
};

/** The box behind `/`; the address follows when the typing rests. */
function TextFilter(): JSX.Element {
  const given = route.value.params['q'] ?? '';
  const [text, setText] = useState(given);
  useEffect(() => setText(given), [given]);
  useEffect(() => {
    if (text === given) return;
    const timer = setTimeout(() => setParams({ q: text, cursor: null }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text, given]);
  return (
    <input type="search" data-filter="" placeholder="Filter by text   /" aria-label="filter by text" value={text} onInput={(e) => setText(e.currentTarget.value)} />
  );
}

function Choice({ name, label, values, fallback }: { name: string; label: string; values: Record<string, string>; fallback: string }): JSX.Element {
  return (
    <label>
      {label}
      <select value={route.value.params[name] ?? fallback} onChange={(e) => setParams({ [name]: e.currentTarget.value === fallback ? null : e.currentTarget.value, cursor: null })}>
        {Object.entries(values).map(([value, text]) => (
          <option value={value}>{text}</option>
        ))}
      </select>
    </label>
  );
}

function List({ rows }: { rows: ClusterRow[] }): JSX.Element {
  return (
    <Table
      label="kinds of failure"
      rows={rows}
      id={(c) => c.id}
      link={(c) => clusterLink(c.id)}
      rowClass={(c) => (c.state === 'resolved' ? 'is-over' : '')}
      columns={[
        { head: 'state', cell: (c) => <State s={c.state} /> },
        {
          head: 'kind of failure',
          class: 'grow',
          cell: (c) => (
            <span class="one-line" title={c.template ?? undefined}>
              <a class="quietly" href={clusterLink(c.id)}>
                <Template s={c.template} />
              </a>
            </span>
          ),
        },
        { head: 'where', class: 'mid place', cell: (c) => <Where c={c} /> },
        { head: 'last 24 hours', class: 'mid', cell: (c) => <Trend c={c} /> },
        { head: 'last hour', right: true, cell: (c) => <Num v={c.last_hour} /> },
        { head: 'in all', right: true, class: 'mid', cell: (c) => <Num v={c.count} /> },
        { head: 'lost', right: true, title: 'the time that its failures took', cell: (c) => <span class="num">{span(c.wasted_ms)}</span> },
        { head: 'since', right: true, class: 'wide', cell: (c) => <Ago t={c.first_seen} /> },
        { head: 'last', right: true, class: 'mid', title: 'how long ago it failed last', cell: (c) => <Ago t={c.last_received} /> },
      ]}
    />
  );
}

function FailureList(): JSX.Element {
  const { q, state, sort, cursor } = route.value.params;
  const asked = query('clusters', { ...filters(), q, state, sort: sort ?? 'impact', limit: PAGE, cursor });
  const data = useData<Clusters>(asked, { live: !cursor });
  const narrowed = !!(q || state || Object.keys(filters()).length);
  return (
    <section class="panel">
      <div class="tools">
        <TextFilter />
        <Choice name="state" label="State" fallback="" values={{ '': 'all', ...Object.fromEntries(STATES.map((s) => [s, s])) }} />
        <Choice name="sort" label="Order" fallback="impact" values={ORDERS} />
        <span class="right quiet num">{data.value?.total !== undefined ? `${count(data.value.total)} ${data.value.total === 1 ? 'kind' : 'kinds'}` : ''}</span>
      </div>
      <Asked
        data={data}
        rows={14}
        isEmpty={(v) => v.clusters.length === 0}
        empty={
          narrowed ? (
            <Say title="No kind of failure matches.">
              <a href={here({ q: null, state: null, endpoint: null, source: null, staffer_id: null, cursor: null })}>Without filters</a>
            </Say>
          ) : (
            <Say title={link.value === 'stale' ? 'Nothing has failed, as far as was recorded.' : 'Nothing has failed.'} />
          )
        }
      >
        {(v) => (
          <>
            <List rows={v.clusters} />
            {(v.next_cursor || cursor) && (
              <p class="pages">
                {cursor && <a href={here({ cursor: null })}>From the start</a>}
                <span>
                  {cursor ? `${count(v.clusters.length)} further on` : `The first ${count(v.clusters.length)}`} of {count(v.total)}; a filter narrows them down.
                </span>
                {v.next_cursor && <a href={here({ cursor: v.next_cursor })}>Next {PAGE}</a>}
              </p>
            )}
          </>
        )}
      </Asked>
    </section>
  );
}

export function Failures(): JSX.Element {
  const [id] = route.value.parts;
  return id ? <ClusterPage key={id} id={id} /> : <FailureList />;
}
