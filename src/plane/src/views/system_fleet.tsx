// The fleet that the daemon belongs to: NATS and the stream, edges, workers, partitions. It is asked when the page is open
// at it, and with the other lists; red is what is away, missing or full, blue what is on its way.
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import './system_fleet.css';
import { useData } from '../data';
import { Asked, Panel } from '../parts/panels';
import { type Column, Table } from '../parts/table';
import { Id, Num, Text } from '../parts/values';
import { bytes, count, many, percent, span } from '../text';
import type { FleetEdge, FleetPartition, FleetPicture, FleetWorker } from '../types';

/** A partition or an op that waits for so long is late. */
const LATE_MS = 60_000;
const FULL = 0.5;

const filled = (e: FleetEdge): number => (e.spool_max_bytes ? e.spool_bytes / e.spool_max_bytes : 0);
const name = (x: FleetEdge | FleetWorker): string => `${x.name} ${x.id.slice(0, 4)}`;

/** What is wrong with it, in sentences. */
export function fleetProblems(f: FleetPicture): string[] {
  const found: string[] = [];
  if (!f.nats.connected) {
    found.push(`${f.nats.why ?? 'NATS is away'}${f.nats.away_ms ? `, for ${span(f.nats.away_ms)}` : ''}.`);
    return found;
  }
  if (f.missing.length) found.push(`${f.missing.length} of ${many(f.partitions.length, 'partition')} ${f.missing.length === 1 ? 'is' : 'are'} held by nobody: what comes into ${f.missing.length === 1 ? 'it' : 'them'} waits in the stream.`);
  for (const e of f.edges) {
    if (e.state === 'away') found.push(`Edge ${name(e)} has not been heard for ${span(e.seen_ms)}.`);
    else if (filled(e) >= FULL) found.push(`The spool of edge ${name(e)} is ${percent(filled(e))} full.`);
    else if (e.spool_age_ms > LATE_MS && e.state === 'here') found.push(`Edge ${name(e)} has not forwarded ${many(e.spool_ops, 'op')}, the oldest for ${span(e.spool_age_ms)}.`);
  }
  for (const w of f.workers) {
    if (w.state === 'away') found.push(`Worker ${name(w)} has not been heard for ${span(w.seen_ms)}.`);
    else if (w.lag_ms > LATE_MS) found.push(`Worker ${name(w)} is ${span(w.lag_ms)} behind.`);
  }
  return found;
}

function Standing({ x }: { x: FleetEdge | FleetWorker }): JSX.Element {
  const kind = x.state === 'away' ? 'is-fail' : x.state === 'stopped' ? 'is-quiet' : '';
  return (
    <span class={`state ${kind}`}>
      {x.state}
      {x.state !== 'here' && ` ${span(x.seen_ms)}`}
    </span>
  );
}

function columnsOf<T extends FleetEdge | FleetWorker>(head: string, more: Column<T>[]): Column<T>[] {
  return [
    { head, cell: (x) => <span title={x.name}><Text s={x.name} max={24} /> <Id v={x.id} /></span> },
    { head: 'state', cell: (x) => <Standing x={x} /> },
    { head: 'version', class: 'mid', cell: (x) => <Text s={x.version} max={20} /> },
    ...more,
  ];
}

const late = (ms: number, text: ComponentChildren): JSX.Element => <span class={`num ${ms > LATE_MS ? 'fail' : ''}`}>{text}</span>;

function Edges({ f }: { f: FleetPicture }): JSX.Element {
  return (
    <Panel title="Edges">
      {f.edges.length === 0 ? (
        <p class="quiet">None: nothing comes into the stream.</p>
      ) : (
        <Table
          label="edges"
          rows={f.edges}
          id={(e) => e.id}
          columns={columnsOf<FleetEdge>('edge', [
            { head: 'recorded', right: true, class: 'mid', cell: (e) => <Num v={e.seq} /> },
            { head: 'to forward', right: true, title: 'recorded, and not in the stream yet', cell: (e) => <Num v={e.spool_ops} /> },
            { head: 'spool', right: true, title: 'how full it is', cell: (e) => <span class={`num ${filled(e) >= FULL ? 'fail' : ''}`} title={bytes(e.spool_bytes)}>{e.spool_ops ? percent(filled(e)) : 'empty'}</span> },
            { head: 'oldest', right: true, class: 'mid', cell: (e) => (e.spool_ops ? late(e.spool_age_ms, span(e.spool_age_ms)) : '–') },
          ])}
        />
      )}
    </Panel>
  );
}

function Workers({ f }: { f: FleetPicture }): JSX.Element {
  return (
    <Panel title="Workers">
      {f.workers.length === 0 ? (
        <p class="quiet">None: what edges forward waits in the stream.</p>
      ) : (
        <Table
          label="workers"
          rows={f.workers}
          id={(w) => w.id}
          columns={columnsOf<FleetWorker>('worker', [
            { head: 'partitions', right: true, cell: (w) => <Num v={w.partitions} /> },
            { head: 'rebuilding', right: true, class: 'mid', cell: (w) => <span class={`num ${w.rebuilding ? 'change' : ''}`}>{count(w.rebuilding)}</span> },
            { head: 'waiting', right: true, title: 'messages of its partitions that wait in the stream', cell: (w) => <Num v={w.pending} /> },
            { head: 'behind', right: true, cell: (w) => late(w.lag_ms, w.lag_ms ? span(w.lag_ms) : '–') },
          ])}
        />
      )}
    </Panel>
  );
}

/* ---- partitions: a square for each ---- */

const kindOf = (p: FleetPartition): string => (p.worker === null ? 'is-fail' : p.rebuilding || p.pending ? 'is-change' : '');
const stateOf = (p: FleetPartition): string => (p.worker === null ? 'held by nobody' : p.rebuilding ? 'rebuilding' : p.pending ? 'behind' : 'held');

function Partitions({ f }: { f: FleetPicture }): JSX.Element {
  const [asTable, show] = useState(false);
  const holders = new Map(f.workers.map((w) => [w.id, name(w)]));
  const holder = (p: FleetPartition): string => (p.worker === null ? '–' : (holders.get(p.worker) ?? p.worker));
  const behind = f.partitions.filter((p) => kindOf(p) === 'is-change').length;
  const words = `${many(f.partitions.length, 'partition')}, ${f.missing.length ? `${count(f.missing.length)} held by nobody` : 'each held by a worker'}${behind ? `, ${count(behind)} behind` : ''}`;
  return (
    <Panel
      title="Partitions"
      side={
        <>
          <span>{words}</span>
          <button type="button" class="plain" aria-pressed={asTable} onClick={() => show(!asTable)}>
            {asTable ? 'as squares' : 'as a table'}
          </button>
        </>
      }
    >
      {asTable ? (
        <Table
          label="partitions"
          rows={f.partitions}
          id={(p) => p.p}
          columns={[
            { head: 'partition', cell: (p) => p.p },
            { head: 'state', cell: (p) => <span class={`state ${kindOf(p)}`}>{stateOf(p)}</span> },
            { head: 'worker', cell: holder },
            { head: 'waiting', right: true, cell: (p) => <Num v={p.pending} /> },
            { head: 'checkpoint', right: true, title: 'since its last one in NATS', cell: (p) => span(p.checkpoint_ms) },
          ]}
        />
      ) : (
        <div class={`squares ${f.partitions.length > 512 ? 'is-many' : ''}`} role="img" aria-label={words}>
          {f.partitions.map((p) => (
            <i class={kindOf(p)} title={`${p.p}: ${stateOf(p)}${p.worker === null ? '' : ` by ${holder(p)}`}${p.pending ? `, ${many(p.pending, 'message')} wait` : ''}`} />
          ))}
        </div>
      )}
    </Panel>
  );
}

/* ---- all of it ---- */

function summary(f: FleetPicture): string {
  const s = f.stream;
  return [
    f.nats.version && `nats-server ${f.nats.version}`,
    s && `${many(s.messages, 'message')} in the stream, ${bytes(s.bytes)}, ${many(s.replicas, 'replica')}`,
    f.leader && `led by ${f.workers.find((w) => w.id === f.leader?.worker)?.name ?? ''} ${f.leader.worker.slice(0, 4)}`,
  ]
    .filter(Boolean)
    .join('; ');
}

/** This daemon, when the others cannot be asked. */
function Alone({ f }: { f: FleetPicture }): JSX.Element {
  const e = f.self.edge;
  return (
    <p class="quiet">
      {e ? `This edge goes on recording: ${many(e.spool_ops, 'op')} (${bytes(e.spool_bytes)}) wait to be forwarded. ` : 'This worker folds nothing meanwhile. '}
      The other edges and workers are not known until NATS is back.
    </p>
  );
}

export function Fleet(): JSX.Element {
  const data = useData<FleetPicture>('fleet');
  return (
    <Asked data={data} rows={6}>
      {(f) => {
        const found = fleetProblems(f);
        return (
          <>
            <Panel title={`The fleet, seen by this ${f.self.roles.join(' and ')}`} side={summary(f)}>
              {found.length > 0 && (
                <ul class="problems">
                  {found.map((text) => (
                    <li>
                      <Text s={text} max={300} />
                    </li>
                  ))}
                </ul>
              )}
              {!f.complete && <Alone f={f} />}
              {f.complete && found.length === 0 && <p class="quiet">All are here, and nothing waits for long.</p>}
            </Panel>
            {f.complete && (
              <>
                <div class="fleet-grid">
                  <Edges f={f} />
                  <Workers f={f} />
                </div>
                <Partitions f={f} />
              </>
            )}
          </>
        );
      }}
    </Asked>
  );
}
