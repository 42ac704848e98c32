// Who talks to what, and where it hurts: agents, sources and endpoints in three columns that keep their places.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { query } from '../api';
import { useData } from '../data';
import { Asked, Panel, Say, Truncated } from '../parts/panels';
import { Table } from '../parts/table';
import { Ago, Id, Ms, Num, Share, State, Text } from '../parts/values';
import { filters, go, here, href, route, to } from '../router';
import { count, millis, percent, rate } from '../text';
import type { Paged } from '../types';
import { type Box, type Edge, type Graph, KINDS, type Kind, type Link, type MapData, type Node, ROW, type Slots, Sum, isOther, keyOf, layOut, noSlots, places, spread } from './map_layout';
import { Choice, LastOps, Side, chosen } from './side';
import './map.css';

const LIMIT = 500;
const NARROW = 540;

const WINDOWS = [
  ['1m', '1 min'],
  ['5m', '5 min'],
  ['1h', '1 h'],
] as const;
const MINUTES = { '1m': 1, '5m': 5, '1h': 60 };

const TITLES: Record<Kind, [string, string]> = { staffer_id: ['Agents', 'agents'], source: ['Sources', 'sources'], endpoint: ['Endpoints', 'endpoints'] };
const UNNAMED: Record<Kind, string> = { staffer_id: '(no agent named)', source: '(none)', endpoint: '(none)' };

/** How an overlay colours: how much of which colour, 0 to 1, and what it says at a node. */
interface Overlay {
  tint: (s: Sum) => { color: 'fail' | 'change' | 'ink'; much: number };
  says: (s: Sum, minutes: number) => string;
  legend: string;
}

/** No colour below `from`: what always happens a little must not hide what stands out. */
const ramp = (x: number, from: number, full: number): number => (x < from ? 0 : Math.min(1, 0.3 + (0.7 * (x - from)) / (full - from)));

const OVERLAYS = {
  failures: {
    tint: (s) => ({ color: 'fail', much: ramp(s.share, 0.02, 0.4) }),
    says: (s) => percent(s.share),
    legend: 'red: the share that fails',
  },
  latency: {
    tint: (s) => ({ color: 'change', much: s.slower === null ? 0 : ramp(s.slower, 1.25, 4) }),
    says: (s) => (s.slower === null ? millis(s.mean) : `${s.slower.toFixed(s.slower < 9.95 ? 1 : 0)}×`),
    legend: 'blue: slower than its own last day; the number is times the usual, or the mean where that is not known',
  },
  volume: {
    tint: (s) => ({ color: 'ink', much: ramp(Math.log2(1 + s.ops), 0, 16) }),
    says: (s, minutes) => `${rate(s.ops / minutes)}/min`,
    legend: 'darker: more ops',
  },
  change: {
    tint: (s) => ({ color: 'change', much: s.fresh ? 1 : 0 }),
    says: (s) => (s.fresh ? 'new' : ''),
    legend: 'blue: first seen less than an hour ago',
  },
  retries: {
    tint: (s) => ({ color: 'fail', much: ramp(s.retried, 0.01, 0.3) }),
    says: (s) => (s.retries ? percent(s.retried) : '0'),
    legend: 'red: the share that is tried again after a failure',
  },
} satisfies Record<string, Overlay>;
type OverlayName = keyof typeof OVERLAYS;
const OVERLAY_NAMES = [
  ['failures', 'failures'],
  ['latency', 'latency'],
  ['volume', 'volume'],
  ['change', 'new'],
  ['retries', 'retries'],
] as const satisfies readonly (readonly [OverlayName, string])[];

let slots: Slots = noSlots();

function tinted(overlay: Overlay, s: Sum): string {
  const { color, much } = overlay.tint(s);
  return `color-mix(in srgb, var(--${color}) ${Math.round(much * 100)}%, var(--edge))`;
}

function nameOf(n: Node): JSX.Element {
  if (n.others) return <>(other {count(n.others)})</>;
  return n.name === null ? <span class="none">{UNNAMED[n.kind]}</span> : <Text s={n.name} max={120} />;
}

/** Share of failures as an arc of a ring. */
function Ring({ share }: { share: number }): JSX.Element {
  const around = 2 * Math.PI * 6;
  const part = share > 0 ? Math.max(share, 0.04) : 0;
  return (
    <svg class="ring" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="6" />
      {part > 0 && <circle class="is-fail" cx="8" cy="8" r="6" stroke-dasharray={`${part * around} ${around}`} transform="rotate(-90 8 8)" />}
    </svg>
  );
}

interface NodeProps {
  node: Node;
  overlay: Overlay;
  minutes: number;
  dim: boolean;
  chosen: boolean;
  box?: Box | undefined;
  onHover: (key: string | null) => void;
}

function MapNode({ node, overlay, minutes, dim, chosen: isChosen, box, onHover }: NodeProps): JSX.Element {
  const s = node.sum;
  const said = `${count(s.ops)} ops, ${percent(s.share)} failed, ${s.mean === null ? '' : `mean ${millis(s.mean)}`}`;
  const about = node.others || node.name === null ? undefined : isChosen ? href('map', [], route.value.params) : href('map', [node.kind, node.name], route.value.params);
  const tint = overlay.tint(s);
  const shown = {
    class: `node ${dim ? 'is-dim' : ''} ${isChosen ? 'is-chosen' : ''} ${about ? '' : 'is-other'}`,
    title: said,
    style: box ? { left: `${box.x}px`, top: `${box.y}px`, width: `${box.w}px`, height: `${ROW}px` } : undefined,
    onMouseEnter: () => onHover(node.key),
    onMouseLeave: () => onHover(null),
  };
  const inside = (
    <>
      <Ring share={s.share} />
      <span class="node-name">{nameOf(node)}</span>
      <span class={`num node-says ${tint.much > 0 && tint.color !== 'ink' ? `is-${tint.color}` : ''}`}>{overlay.says(s, minutes)}</span>
    </>
  );
  if (!about) return <div {...shown}>{inside}</div>;
  return (
    <a
      {...shown}
      href={about}
      aria-label={`${node.name ?? ''}: ${said}`}
      aria-current={isChosen ? 'true' : undefined}
      onFocus={() => onHover(node.key)}
      onBlur={() => onHover(null)}
      onClick={(e) => {
        if (!e.shiftKey || node.name === null) return;
        e.preventDefault();
        go(here({ [node.kind]: node.name }));
      }}
    >
      {inside}
    </a>
  );
}

function path(a: Box, b: Box, [up, down]: [number, number]): string {
  const [x0, y0, x1, y1] = [a.x + a.w, a.y + ROW / 2 + up, b.x, b.y + ROW / 2 + down];
  const bend = (x1 - x0) * 0.45;
  return `M${x0} ${y0}C${x0 + bend} ${y0} ${x1 - bend} ${y1} ${x1} ${y1}`;
}

const thick = (ops: number): number => Math.min(9, 0.75 + Math.log2(1 + ops) * 0.45);

function Links({ data, boxes, overlay, lit }: { data: MapData; boxes: Map<string, Box>; overlay: Overlay; lit: Set<string> | null }): JSX.Element {
  const important = (l: Link): number => overlay.tint(l.sum).much;
  const ends = useMemo(() => spread(data.links, boxes), [data, boxes]);
  return (
    <>
      {[...data.links]
        .sort((a, b) => important(a) - important(b))
        .map((l) => {
          const [a, b] = [boxes.get(l.from), boxes.get(l.to)];
          if (!a || !b) return null;
          const dim = lit !== null && !lit.has(l.key);
          return <path key={l.key} class={`link ${dim ? 'is-dim' : lit ? 'is-lit' : isOther(l.from) || isOther(l.to) ? 'is-other' : ''}`} d={path(a, b, ends.get(l.key) ?? [0, 0])} style={{ stroke: tinted(overlay, l.sum), strokeWidth: thick(l.sum.ops) }} />;
        })}
    </>
  );
}

interface DrawnProps {
  data: MapData;
  overlay: Overlay;
  minutes: number;
  chosenKey: string | null;
}

/** On a narrow screen the columns are lists, one under the other, and what belongs to the chosen one stays bright. */
function Drawn({ data, overlay, minutes, chosenKey }: DrawnProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [hover, setHover] = useState<string | null>(null);
  useEffect(() => {
    const at = box.current;
    if (!at) return;
    const watch = new ResizeObserver(() => setWidth(at.clientWidth));
    watch.observe(at);
    setWidth(at.clientWidth);
    return () => watch.disconnect();
  }, []);
  const lit = (hover !== null && data.touched.get(hover)) || (chosenKey !== null && data.touched.get(chosenKey)) || null;
  const narrow = width < NARROW;
  const { boxes, height } = useMemo(() => places(data.columns, width), [data, width]);
  const node = (n: Node): JSX.Element => (
    <MapNode key={n.key} node={n} overlay={overlay} minutes={minutes} dim={lit !== null && !lit.has(n.key)} chosen={n.key === chosenKey} box={narrow ? undefined : boxes.get(n.key)} onHover={setHover} />
  );
  const heads = KINDS.map((kind, i) => {
    const first = data.columns[i]?.[0];
    const at = first && boxes.get(first.key);
    return (
      <h3 class="map-head" style={!narrow && at ? { left: `${at.x}px`, width: `${at.w}px` } : undefined}>
        {TITLES[kind][0]}
      </h3>
    );
  });
  return (
    <div class={`map ${narrow ? 'is-narrow' : ''}`} ref={box}>
      {width > 0 && narrow && data.columns.map((column, i) => [heads[i], column.map(node)])}
      {width > 0 && !narrow && (
        <>
          <div class="map-heads">{heads}</div>
          <div class="map-body" style={{ height: `${height}px` }}>
            <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
              <Links data={data} boxes={boxes} overlay={overlay} lit={lit} />
            </svg>
            {data.columns.map((column) => column.map(node))}
          </div>
        </>
      )}
    </div>
  );
}

function Edges({ edges, minutes }: { edges: Edge[]; minutes: number }): JSX.Element {
  return (
    <Table
      label="who talks to what"
      rows={edges.slice(0, 200)}
      id={(e) => `${e.staffer_id}\t${e.source}\t${e.endpoint}`}
      dense
      columns={[
        { head: 'agent', cell: (e) => (e.staffer_id === null ? <span class="none">–</span> : <a class="one-line map-name" href={href('map', ['staffer_id', e.staffer_id], route.value.params)}><Text s={e.staffer_id} max={40} /></a>) },
        { head: 'source', cell: (e) => <span class="one-line map-name"><Text s={e.source} max={30} /></span>, class: 'mid' },
        { head: 'endpoint', cell: (e) => <a class="one-line" href={href('map', ['endpoint', e.endpoint], route.value.params)}><Text s={e.endpoint} max={60} /></a>, class: 'grow' },
        { head: 'ops', right: true, cell: (e) => <Num v={e.ops} /> },
        { head: '/min', right: true, cell: (e) => <span class="num">{rate(e.ops / minutes)}</span>, class: 'wide' },
        { head: 'failed', right: true, cell: (e) => <Share v={e.ops ? e.failures / e.ops : null} /> },
        { head: 'retried', right: true, cell: (e) => <Num v={e.retries} />, class: 'wide' },
        { head: 'mean', right: true, cell: (e) => <Ms v={e.mean_ms} />, class: 'mid' },
        { head: 'usual', right: true, cell: (e) => <Ms v={e.usual_ms} />, class: 'wide' },
        { head: 'first seen', right: true, cell: (e) => <Ago t={e.first_seen} ago />, class: 'wide' },
      ]}
    />
  );
}

interface ClusterRow {
  id: string;
  state: string;
  template: string | null;
  last_hour: number;
}

function Failures({ of }: { of: Record<string, string> }): JSX.Element {
  const data = useData<Paged & { clusters: ClusterRow[] }>(query('clusters', { ...of, sort: 'impact', limit: 5 }));
  return (
    <Asked data={data} rows={2} isEmpty={(v) => v.clusters.length === 0} empty={<p class="quiet">None is known.</p>}>
      {(v) => (
        <ul class="last-ops">
          {v.clusters.map((c) => (
            <li key={c.id}>
              <a href={to('failures', [c.id])}>
                <Text s={c.template ?? 'failures without a text'} max={90} />
              </a>
              <span class="quiet">
                <State s={c.state} /> <Id v={c.id} />, <Num v={c.last_hour} /> in the last hour
              </span>
            </li>
          ))}
        </ul>
      )}
    </Asked>
  );
}

interface AdviceAnswer {
  findings: { text: string }[];
  entries: { id: string; kind: string; text: string }[];
  corrections: { seq: number; text: string }[];
  note?: string;
}

function Advice({ endpoint }: { endpoint: string }): JSX.Element {
  const data = useData<AdviceAnswer>(query('advice', { endpoint }));
  return (
    <Asked data={data} rows={2}>
      {(v) => {
        const all = [...v.findings, ...v.entries, ...v.corrections];
        if (!all.length) return <p class="quiet">{v.note ?? 'Nothing.'}</p>;
        return (
          <ul class="plain-list">
            {all.map((f) => (
              <li>
                <Text s={f.text} max={300} />
              </li>
            ))}
          </ul>
        );
      }}
    </Asked>
  );
}

function About({ kind, name, edges, minutes }: { kind: Kind; name: string; edges: Edge[]; minutes: number }): JSX.Element {
  const own = edges.filter((e) => e[kind] === name);
  const s = new Sum();
  for (const e of own) s.add(e);
  const close = href('map', [], route.value.params);
  const hidden = [...hiddenKeys(), keyOf(kind, name)];
  const trace = kind === 'staffer_id' ? to('trace', [], { staffer_id: name }) : null;
  return (
    <Side title={<Text s={name} max={80} />} close={close}>
      <dl class="pairs">
        <div><dt>ops</dt><dd><Num v={s.ops} /> <span class="quiet num">{rate(s.ops / minutes)}/min</span></dd></div>
        <div><dt>failed</dt><dd><Share v={s.share} /> <span class="quiet"><Num v={s.failures} /></span></dd></div>
        <div><dt>tried again</dt><dd><Num v={s.retries} /></dd></div>
        <div><dt>mean time</dt><dd><Ms v={s.mean} /> {s.slower !== null && <span class={`num ${s.slower >= 1.25 ? 'change' : 'quiet'}`}>{s.slower.toFixed(1)}× the usual</span>}</dd></div>
        <div><dt>first seen</dt><dd>{own.length ? <Ago t={s.first} ago /> : '–'}{s.fresh && own.length ? <span class="change"> new</span> : null}</dd></div>
        <div><dt>last seen</dt><dd>{own.length ? <Ago t={s.last} ago /> : '–'}</dd></div>
      </dl>
      <p class="actions">
        <a class="button" href={here({ [kind]: name })}>Only this</a>
        <a class="button" href={to('failures', [], { [kind]: name })}>Its failures</a>
        {trace && <a class="button" href={trace}>Its trace</a>}
        <a class="button" href={href('map', [], { ...route.value.params, hide: JSON.stringify(hidden) })}>Hide</a>
      </p>
      <h3>Last ops</h3>
      <LastOps of={{ [kind]: name }} />
      <h3>Kinds of failure</h3>
      <Failures of={{ [kind]: name }} />
      {kind === 'endpoint' && (
        <>
          <h3>What an agent is told here</h3>
          <Advice endpoint={name} />
        </>
      )}
    </Side>
  );
}

/** Keys of the names that are hidden; what the address says otherwise is not understood. */
function hiddenKeys(): string[] {
  try {
    const list: unknown = JSON.parse(route.value.params.hide ?? '[]');
    return Array.isArray(list) ? list.filter((k): k is string => typeof k === 'string') : [];
  } catch {
    return [];
  }
}

export function MapView(): JSX.Element {
  const { parts, params } = route.value;
  const window = chosen(WINDOWS, params.window, '1h');
  const overlayName = chosen(OVERLAY_NAMES, params.overlay, 'failures');
  const overlay: Overlay = OVERLAYS[overlayName];
  const minutes = MINUTES[window];
  const data = useData<Graph>(query('graph', { window, limit: LIMIT }));
  const [arranged, arrange] = useState(0);
  const only = filters();
  const kind = KINDS.find((k) => k === parts[0]);
  const name = parts[1];
  const asTable = params.table === 'true';
  const hidden = hiddenKeys();
  const edges = useMemo(
    () => (data.value?.edges ?? []).filter((e) => Object.entries(only).every(([k, v]) => e[k as Kind] === v)),
    [data.value, JSON.stringify(only)],
  );
  const map = useMemo(() => layOut(edges, new Set(hidden), slots), [edges, params.hide, arranged]);
  return (
    <div class="view-map">
      <div class="toolbar">
        <Choice label="what the colour means" param="overlay" options={OVERLAY_NAMES} value={overlayName} />
        <Choice label="window" param="window" options={WINDOWS} value={window} otherwise="1h" />
        <span class="spring" />
        {hidden.length > 0 && (
          <a class="plain" href={here({ hide: null })}>
            show {count(hidden.length)} hidden
          </a>
        )}
        {!asTable && (
          <button
            type="button"
            class="plain"
            title="Names keep their places; this places all of them anew"
            onClick={() => {
              slots = noSlots();
              arrange(arranged + 1);
            }}
          >
            arrange anew
          </button>
        )}
        <a class="plain" href={here({ table: asTable ? null : true })}>
          {asTable ? 'as map' : 'as table'}
        </a>
      </div>
      <div class={kind && name ? 'with-side' : ''}>
        <Panel class="map-panel">
          <Asked data={data} rows={12} isEmpty={(v) => v.edges.length === 0} empty={<Say title={`No ops in the last ${WINDOWS.find(([w]) => w === window)?.[1]}.`} />}>
            {(v) => (
              <>
                {edges.length === 0 ? (
                  <Say title="No ops match the filters in this window." />
                ) : asTable ? (
                  <Edges edges={edges} minutes={minutes} />
                ) : (
                  <Drawn data={map} overlay={overlay} minutes={minutes} chosenKey={kind && name ? keyOf(kind, name) : null} />
                )}
                <p class="note quiet">
                  {asTable ? '' : `Width: ops. ${overlay.legend[0]?.toUpperCase()}${overlay.legend.slice(1)}. Shift and click: only this name.`}
                  {v.other && v.other.ops > 0 && ` ${count(v.other.ops)} ops of names that are not held apart are not shown.`}
                </p>
                {v.next_cursor && <Truncated shown={v.edges.length} total={v.total} hint="the most active connections; narrow by a filter" />}
                {asTable && edges.length > 200 && <Truncated shown={200} total={edges.length} hint="narrow by a filter" />}
              </>
            )}
          </Asked>
        </Panel>
        {kind && name && <About kind={kind} name={name} edges={edges} minutes={minutes} />}
      </div>
    </div>
  );
}
