// Where everything on the map stands. Pure: counters in, places out.
//
// Three columns: agents, sources, endpoints. A node is a name in a column, a link the ops between two neighbours. The most
// active names are shown, and those that fail whatever their rank; the rest of a column is one node. Order is by two
// barycentre sweeps when the map is made; after that every name keeps its slot, and a name that comes takes one that is free.
import type { Paged } from '../types';

export interface Counts {
  ops: number;
  failures: number;
  retries: number;
  mean_ms: number | null;
  usual_ms: number | null;
}

export interface Edge extends Counts {
  staffer_id: string | null;
  source: string;
  endpoint: string;
  first_seen: string;
  last_seen: string;
  fresh: boolean;
}

export interface Graph extends Paged {
  window: string;
  now: string;
  edges: Edge[];
  other: Counts | null;
  held: number;
}

export const KINDS = ['staffer_id', 'source', 'endpoint'] as const;
export type Kind = (typeof KINDS)[number];
const TOP: Record<Kind, number> = { staffer_id: 12, source: 12, endpoint: 24 };

/** What failing means here: often enough to be named whatever its rank. */
const FAILING_SHARE = 0.05;
const FAILING_LEAST = 3;

/** Sums over edges. Times are weighed by ops, and compared only where the usual is known. */
export class Sum {
  ops = 0;
  failures = 0;
  retries = 0;
  first = '';
  last = '';
  fresh = true;
  private time = 0;
  private compared = 0;
  private usual = 0;

  add(e: Edge): void {
    this.ops += e.ops;
    this.failures += e.failures;
    this.retries += e.retries;
    this.time += e.ops * (e.mean_ms ?? 0);
    if (e.usual_ms !== null && e.mean_ms !== null) {
      this.compared += e.ops * e.mean_ms;
      this.usual += e.ops * e.usual_ms;
    }
    if (!this.first || e.first_seen < this.first) this.first = e.first_seen;
    if (e.last_seen > this.last) this.last = e.last_seen;
    this.fresh &&= e.fresh;
  }

  get share(): number {
    return this.ops ? this.failures / this.ops : 0;
  }
  get retried(): number {
    return this.ops ? this.retries / this.ops : 0;
  }
  get mean(): number | null {
    return this.ops ? this.time / this.ops : null;
  }
  /** Its time now over its usual time; null: not known. */
  get slower(): number | null {
    return this.usual > 0 ? this.compared / this.usual : null;
  }
  get failing(): boolean {
    return this.failures >= FAILING_LEAST && this.share >= FAILING_SHARE;
  }
}

export interface Node {
  key: string;
  kind: Kind;
  /** null: the ops that name none. */
  name: string | null;
  /** Stands for so many names; 0: for itself. */
  others: number;
  sum: Sum;
}

export interface Link {
  key: string;
  from: string;
  to: string;
  sum: Sum;
}

export interface MapData {
  columns: Node[][];
  links: Link[];
  /** For each node: the nodes and links that its ops pass. */
  touched: Map<string, Set<string>>;
}

export const keyOf = (kind: Kind, name: string | null): string => `${kind}\t${name ?? ''}\t${name === null ? 0 : 1}`;
const otherKey = (kind: Kind): string => `${kind}\tother`;
export const isOther = (key: string): boolean => key.endsWith('\tother');

/** Slots of each column, kept from one answer to the next. */
export type Slots = Record<Kind, string[]>;
export const noSlots = (): Slots => ({ staffer_id: [], source: [], endpoint: [] });

function sums(edges: Edge[]): Map<string, Node> {
  const nodes = new Map<string, Node>();
  for (const e of edges)
    for (const kind of KINDS) {
      const key = keyOf(kind, e[kind]);
      let node = nodes.get(key);
      if (!node) nodes.set(key, (node = { key, kind, name: e[kind], others: 0, sum: new Sum() }));
      node.sum.add(e);
    }
  return nodes;
}

/** The names of a column that are shown: the most active, but a third of the room is for those that fail. Names that are
 * shown already stay until they are far behind. */
function chosen(all: Node[], kind: Kind, before: string[]): Set<string> {
  const top = TOP[kind];
  const ranked = all.filter((n) => n.kind === kind).sort((a, b) => b.sum.ops - a.sum.ops || (a.key < b.key ? -1 : 1));
  if (ranked.length <= top + 1) return new Set(ranked.map((n) => n.key));
  const failing = ranked.filter((n) => n.sum.failing).sort((a, b) => b.sum.failures - a.sum.failures).slice(0, Math.ceil(top / 3));
  const keep = new Set(failing.map((n) => n.key));
  const shown = new Set(before);
  for (const n of ranked.slice(0, Math.ceil(top * 1.5))) if (keep.size < top && shown.has(n.key)) keep.add(n.key);
  for (const n of ranked) if (keep.size < top) keep.add(n.key);
  return keep;
}

function barycentre(order: string[], neighbours: string[][], weight: Map<string, Map<string, number>>): string[] {
  const place = new Map(neighbours.flatMap((column) => column.map((key, i) => [key, (i + 0.5) / column.length] as const)));
  const centre = (key: string): number => {
    let sum = 0;
    let all = 0;
    for (const [other, w] of weight.get(key) ?? []) {
      sum += w * (place.get(other) ?? 0.5);
      all += w;
    }
    return all ? sum / all : 0.5;
  };
  const at = new Map(order.map((key) => [key, centre(key)]));
  return [...order].sort((a, b) => (at.get(a) ?? 0) - (at.get(b) ?? 0));
}

function weights(links: Link[]): Map<string, Map<string, number>> {
  const out = new Map<string, Map<string, number>>();
  const put = (a: string, b: string, w: number): void => {
    const row = out.get(a) ?? new Map<string, number>();
    row.set(b, (row.get(b) ?? 0) + w);
    out.set(a, row);
  };
  for (const l of links) {
    const w = Math.log2(1 + l.sum.ops);
    put(l.from, l.to, w);
    put(l.to, l.from, w);
  }
  return out;
}

/** Names in the order of their slots: those that have one keep it. */
function settle(before: string[], names: string[]): string[] {
  const wanted = new Set(names);
  const fresh = names.filter((n) => !before.includes(n));
  const slots = before.map((n) => (wanted.has(n) ? n : (fresh.shift() ?? '')));
  return [...slots, ...fresh].filter(Boolean);
}

/** Places everything; `slots` are read, and written for the next time. */
export function layOut(edges: Edge[], hidden: Set<string>, slots: Slots): MapData {
  const seen = edges.filter((e) => KINDS.every((kind) => !hidden.has(keyOf(kind, e[kind]))));
  const all = sums(seen);
  const list = [...all.values()];
  const shown: Record<Kind, Set<string>> = noneShown();
  for (const kind of KINDS) shown[kind] = chosen(list, kind, slots[kind]);

  const others = new Map<string, Node>();
  const stand = (kind: Kind, e: Edge): string => {
    const key = keyOf(kind, e[kind]);
    return shown[kind].has(key) ? key : otherKey(kind);
  };
  for (const kind of KINDS) {
    const rest = list.filter((n) => n.kind === kind && !shown[kind].has(n.key));
    if (rest.length) others.set(kind, { key: otherKey(kind), kind, name: null, others: rest.length, sum: new Sum() });
  }
  const links = new Map<string, Link>();
  const touched = new Map<string, Set<string>>();
  for (const e of seen) {
    const [a, s, p] = [stand('staffer_id', e), stand('source', e), stand('endpoint', e)];
    for (const kind of KINDS) if (!shown[kind].has(keyOf(kind, e[kind]))) others.get(kind)?.sum.add(e);
    const path = [a, s, p, `${a}→${s}`, `${s}→${p}`];
    for (const [from, to] of [[a, s], [s, p]] as const) {
      const key = `${from}→${to}`;
      let link = links.get(key);
      if (!link) links.set(key, (link = { key, from, to, sum: new Sum() }));
      link.sum.add(e);
    }
    for (const node of [a, s, p]) {
      const set = touched.get(node) ?? new Set<string>();
      for (const key of path) set.add(key);
      touched.set(node, set);
    }
  }

  const made = [...links.values()];
  const weight = weights(made);
  const first = KINDS.every((kind) => slots[kind].length === 0);
  const names = (kind: Kind): string[] => list.filter((n) => shown[kind].has(n.key)).sort((a, b) => b.sum.ops - a.sum.ops).map((n) => n.key);
  let [agents, sources, endpoints] = [names('staffer_id'), names('source'), names('endpoint')];
  if (first) {
    for (let sweep = 0; sweep < 2; sweep++) {
      agents = barycentre(agents, [sources], weight);
      endpoints = barycentre(endpoints, [sources], weight);
      sources = barycentre(sources, [agents, endpoints], weight);
    }
    agents = barycentre(agents, [sources], weight);
    endpoints = barycentre(endpoints, [sources], weight);
  }
  slots.staffer_id = first ? agents : settle(slots.staffer_id, agents);
  slots.source = first ? sources : settle(slots.source, sources);
  slots.endpoint = first ? endpoints : settle(slots.endpoint, endpoints);
  const columns = KINDS.map((kind) => {
    const column = slots[kind].map((key) => all.get(key)).filter((n): n is Node => n !== undefined);
    const rest = others.get(kind);
    return rest ? [...column, rest] : column;
  });
  return { columns, links: made.sort((a, b) => a.sum.ops - b.sum.ops), touched };
}

function noneShown(): Record<Kind, Set<string>> {
  return { staffer_id: new Set(), source: new Set(), endpoint: new Set() };
}

export interface Box {
  x: number;
  y: number;
  w: number;
}

export const ROW = 28;
const PITCH = 36;
const PITCH_MAX = 52;
const WIDTHS = [0.25, 0.2, 0.31];

/** How far from a box's middle each link leaves it and arrives, so that links do not lie on each other. */
export function spread(links: Link[], boxes: Map<string, Box>): Map<string, [number, number]> {
  const out = new Map<string, [number, number]>(links.map((l) => [l.key, [0, 0]]));
  const side = (end: 'from' | 'to', far: 'from' | 'to', at: 0 | 1): void => {
    const groups = new Map<string, Link[]>();
    for (const l of links) groups.set(l[end], [...(groups.get(l[end]) ?? []), l]);
    for (const group of groups.values()) {
      group.sort((a, b) => (boxes.get(a[far])?.y ?? 0) - (boxes.get(b[far])?.y ?? 0));
      const step = Math.min(5, (ROW - 8) / group.length);
      group.forEach((l, i) => {
        const ends = out.get(l.key);
        if (ends) ends[at] = (i - (group.length - 1) / 2) * step;
      });
    }
  };
  side('from', 'to', 0);
  side('to', 'from', 1);
  return out;
}

/** The boxes of all nodes in a width, and how high the map is. */
export function places(columns: Node[][], width: number): { boxes: Map<string, Box>; height: number } {
  const longest = Math.max(1, ...columns.map((c) => c.length));
  const height = Math.max(longest * PITCH, 240);
  const gap = (width * (1 - WIDTHS.reduce((a, b) => a + b, 0))) / 2;
  const boxes = new Map<string, Box>();
  let x = 0;
  columns.forEach((column, i) => {
    const w = Math.round(width * (WIDTHS[i] ?? 0.25));
    const pitch = Math.min(height / Math.max(1, column.length), PITCH_MAX);
    const top = (height - pitch * column.length) / 2 + (pitch - ROW) / 2;
    column.forEach((node, row) => boxes.set(node.key, { x: Math.round(x), y: Math.round(top + row * pitch), w }));
    x += w + gap;
  });
  return { boxes, height };
}
