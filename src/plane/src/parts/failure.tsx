// Kinds of failure, as several views show them.
import type { JSX } from 'preact';
import { to } from '../router';
import { count, many, visible } from '../text';
import { ranked } from '../clusters';
import type { ClusterRow } from '../types';
import { Spark } from './drawn';
import { Text } from './values';

/** The template of a kind; what varies in it stands back. */
export function Template({ s }: { s: string | null }): JSX.Element {
  if (!s) return <span class="quiet">failures without a text</span>;
  return (
    <bdi class="template">
      {s.split('<*>').map((part, i) => (
        <>
          {i > 0 && <span class="hole" title="varies">‹…›</span>}
          {visible(part).map((p) => (p.code ? <span class="unseen">{p.text}</span> : p.text))}
        </>
      ))}
    </bdi>
  );
}

/** Where it fails: the commonest endpoint, and how many others. */
export function Where({ c }: { c: ClusterRow }): JSX.Element {
  const [first] = ranked(c.endpoints);
  if (!first) return <span class="none">–</span>;
  const others = Math.max(c.places_known, Object.keys(c.endpoints).length) - 1;
  return (
    <span class="one-line" title={ranked(c.endpoints).map(([e, n]) => `${e}: ${count(n)}`).join('\n')}>
      <Text s={first[0]} max={60} />
      {others > 0 && <span class="quiet"> +{others}</span>}
    </span>
  );
}

export function Trend({ c, width = 96, height = 20 }: { c: ClusterRow; width?: number; height?: number }): JSX.Element {
  const hours = c.trend.filter((n) => n > 0).length;
  const label = `failures an hour over the last 24 hours: ${many(c.trend[c.trend.length - 1] ?? 0, 'failure')} in this one, at most ${count(Math.max(0, ...c.trend))}, some in ${many(hours, 'hour')}`;
  return <Spark values={c.trend} bars fail={c.state !== 'resolved'} label={label} width={width} height={height} />;
}

export function clusterLink(id: string): string {
  return to('failures', [id]);
}
