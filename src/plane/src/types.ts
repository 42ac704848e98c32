// The shapes of the daemon's answers, as far as the page reads them (proto/openapi.json).

export interface Paged {
  next_cursor?: string | null;
  complete?: boolean;
  total?: number;
}

/** Rows that other programs wrote are shown as they are: some have their time as a number, and some no source. */
export interface Op {
  timestamp: string | number;
  endpoint: string;
  success: boolean;
  duration_ms: number;
  source?: string;
  input_summary?: string;
  output_summary?: string;
  error?: string;
  staffer_id?: string;
  session_id?: string;
  cycle_id?: string;
  sig_hash?: string;
  event_kind?: string;
  task_class?: string;
}

export interface LiveOp {
  seq: number;
  received: string;
  cluster: string | null;
  op: Op;
}

export interface WindowNumbers {
  ops: number;
  failures: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

export type WindowName = '1m' | '5m' | '1h';

export interface Live {
  boot: string;
  now: string;
  version: string;
  ready: boolean;
  reasons: string[];
  seq: number;
  missed: number;
  restarted: boolean;
  totals: { ops: number; successes: number; failures: number };
  windows: Record<WindowName, WindowNumbers>;
  last_op: string | null;
  clusters: { new: number; ongoing: number; regressed: number; resolved: number } | null;
  alerts: { pending: number; firing: number } | null;
  ops: LiveOp[];
}

export interface HistoryPoint extends WindowNumbers {
  t: string;
}

export interface History {
  window: string;
  step_s: number;
  now: string;
  points: HistoryPoint[];
}

export interface Change {
  time: string;
  kind: string;
  what: string | null;
  value: string | null;
  text: string;
  cluster: string | null;
  playbook: string | null;
  seq: number | null;
}

export interface Changes extends Paged {
  changes: Change[];
}

export interface Alert {
  rule: string;
  group: Record<string, string>;
  state: 'pending' | 'firing' | 'recovering' | 'resolved';
  severity: 'page' | 'warn' | 'info';
  since: string;
  fired: string | null;
  resolved: string | null;
  value: number | null;
  threshold: number | null;
  text: string;
  seqs: number[];
  cluster: string | null;
  silenced_by: number | null;
  notified: string | null;
}

export interface Alerts extends Paged {
  alerts: Alert[];
  firing: number;
  pending: number;
  held_back: number;
}

export type ClusterState = 'new' | 'ongoing' | 'resolved' | 'regressed';

/** Of a set that keeps eight values: how many each, and `(other)`. */
export type Counts = Record<string, number>;

export interface ClusterRow {
  id: string;
  state: ClusterState;
  state_since: string;
  template: string | null;
  count: number;
  late: number;
  last_minute: number;
  last_hour: number;
  first_seen: string;
  first_seq: number;
  last_seen: string;
  last_seq: number;
  last_received: string;
  wasted_ms: number;
  trend: number[];
  endpoints: Counts;
  sources: Counts;
  staffers: Counts;
  task_classes: Counts;
  event_kinds: Counts;
  places_known: number;
  samples: number[];
  corrected: number;
  regressions: number;
  regressed_at: string | null;
  resolved_at: string | null;
  spreads: number;
  spread_at: string | null;
}

export interface Clusters extends Paged {
  clusters: ClusterRow[];
}

export interface Distinct {
  failures: number;
  distinct: number;
  pattern: 'one' | 'each' | 'some' | null;
  top: Counts;
}

export interface ClusterCorrection {
  seq: number;
  time: string;
  text: string;
  for: string;
  next: boolean | null;
  succeeded: number;
  failed: number;
}

export interface Cluster extends ClusterRow {
  sessions: Distinct;
  sig_hashes: Distinct;
  places: {
    endpoint: string;
    state: ClusterState;
    state_since: string;
    count: number;
    last_minute: number;
    last_hour: number;
    first_seen: string;
    last_seen: string;
  }[];
  corrections: ClusterCorrection[];
  former_ids: string[];
  diagnosis: {
    analysis: number;
    time: string;
    cause: string | null;
    adjust: string | null;
    dont: string | null;
    grounded: boolean;
    settled: boolean;
    evidence: number[];
  } | null;
}

export interface Condition {
  field: string;
  relation: 'is' | 'absent' | 'above' | 'at_most';
  values?: string[];
  number?: number;
}

export interface Finding {
  cause: string;
  error_kind: string | null;
  blames: { field: string; value: string } | null;
  conditions: Condition[];
  ops: number;
  failures: number;
  rest_ops: number;
  rest_failures: number;
  from: string | null;
  finding: string;
  likely_cause: string | null;
  advice: string | null;
  evidence: number[];
}

export interface Analysis {
  id: number;
  time: string;
  cluster: string | null;
  cause: string | null;
  diagnosis?: { ops: number; failures: number; summary: string; findings: Finding[] };
}

export interface Analyses extends Paged {
  analyses: Analysis[];
}

export interface Rate {
  ops: number;
  failures: number;
  rate: number | null;
}

export interface Playbook {
  id: string;
  kind: 'do' | 'dont';
  endpoint: string | null;
  task_class: string | null;
  cluster: string | null;
  text: string;
  created: string;
  effect: { before: Rate; after: Rate; difference: number | null; low: number | null; high: number | null; basis: string } | null;
  retired: boolean;
}

export interface Playbooks extends Paged {
  playbooks: Playbook[];
}

export interface Tally {
  total: number;
  successes: number;
  failures: number;
  duration_ms: { p50: number | null; p90: number | null; p99: number | null; max: number | null };
}

export interface SummaryWindow extends Tally {
  seconds: number;
  by_source: Record<string, Tally>;
  by_endpoint: Record<string, Tally>;
}

export interface Summary {
  lifetime: Omit<SummaryWindow, 'seconds'>;
  windows: Record<WindowName, SummaryWindow>;
  clocks?: { source: string; behind_ms: number; since: string; last: string; ops: number }[];
}

export interface RecordedOp {
  seq: number;
  received?: string;
  op: Op & Record<string, unknown>;
}

export interface Ops extends Paged {
  ops: RecordedOp[];
}

interface Spool {
  spool_ops: number;
  spool_bytes: number;
  spool_max_bytes: number;
  spool_age_ms: number;
}

export interface FleetEdge extends Spool {
  id: string;
  name: string;
  version: string;
  state: 'here' | 'away' | 'stopped';
  seen_ms: number;
  seq: number;
}

export interface FleetWorker {
  id: string;
  name: string;
  version: string;
  state: 'here' | 'away' | 'stopped';
  seen_ms: number;
  partitions: number;
  rebuilding: number;
  pending: number;
  lag_ms: number;
}

export interface FleetPartition {
  p: number;
  worker: string | null;
  checkpoint_ms: number | null;
  pending: number;
  rebuilding: boolean;
}

export interface FleetPicture {
  self: { roles: ('edge' | 'worker')[]; edge?: Spool; hindered: string | null };
  nats: { connected: boolean; why: string | null; away_ms: number; version: string | null };
  complete: boolean;
  stream: { messages: number; bytes: number; replicas: number } | null;
  edges: FleetEdge[];
  workers: FleetWorker[];
  partitions: FleetPartition[];
  missing: number[];
  leader: { worker: string } | null;
}
