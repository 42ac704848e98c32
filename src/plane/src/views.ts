// The views, in the order of the navigation. A view is one row here and one file in views/.
import type { JSX } from 'preact';
import { AlertsView } from './views/alerts';
import { Console } from './views/console';
import { Failures } from './views/failures';
import { Knowledge } from './views/knowledge';
import { MapView } from './views/map';
import { Metrics } from './views/metrics';
import { Overview, overviewAsks } from './views/overview';
import { System } from './views/system';
import { Trace } from './views/trace';
import { TrajectoryView } from './views/trajectory';

export interface View {
  /** In the address: `#/failures`. */
  name: string;
  /** In the navigation. */
  label: string;
  /** `g` and this key. */
  key: string;
  /** The question that it answers. */
  asks: string;
  show: () => JSX.Element;
  /** What it asks for at once when it opens. */
  first?: () => string[];
}

export const VIEWS: View[] = [
  { name: 'overview', label: 'Overview', key: 'o', asks: 'Is the fleet healthy, and if not, what comes first?', show: Overview, first: overviewAsks },
  { name: 'map', label: 'Map', key: 'm', asks: 'Who talks to what, and where does it hurt?', show: MapView },
  { name: 'failures', label: 'Failures', key: 'f', asks: 'What kinds of failure are there, since when, how bad?', show: Failures },
  { name: 'trace', label: 'Trace', key: 't', asks: 'What happened in this run, in order, and where did it go wrong?', show: Trace },
  { name: 'trajectory', label: 'Trajectory', key: 'j', asks: 'Does this task get better over its attempts, and what made the difference?', show: TrajectoryView },
  { name: 'metrics', label: 'Metrics', key: 'x', asks: 'Which numbers are off, and what do they mean?', show: Metrics },
  { name: 'knowledge', label: 'Knowledge', key: 'k', asks: 'What has been learned that can be used now?', show: Knowledge },
  { name: 'alerts', label: 'Alerts', key: 'a', asks: 'What wakes somebody, since when, and what is silenced?', show: AlertsView },
  { name: 'console', label: 'Console', key: 'c', asks: 'What is happening right now?', show: Console },
  { name: 'system', label: 'System', key: 's', asks: 'Can these numbers be trusted?', show: System },
];
