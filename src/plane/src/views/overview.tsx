import type { JSX } from 'preact';
import { Panel } from '../parts/panels';

export function Overview(): JSX.Element {
  return <Panel title="Overview">…</Panel>;
}
