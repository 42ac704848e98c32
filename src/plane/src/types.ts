// The shapes of the daemon's answers, as far as the page reads them (proto/openapi.json).

export interface Paged {
  next_cursor?: string | null;
  complete?: boolean;
  total?: number;
}

export interface Op {
  timestamp: string;
  endpoint: string;
  success: boolean;
  duration_ms: number;
  source: string;
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
  silenced_by: string | null;
  notified: string | null;
}

export interface Alerts extends Paged {
  alerts: Alert[];
  firing: number;
  pending: number;
  held_back: number;
}
