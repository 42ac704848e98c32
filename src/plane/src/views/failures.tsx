import type { JSX } from 'preact';
import { Panel } from '../parts/panels';

export function Failures(): JSX.Element {
  return <Panel title="Failures">…</Panel>;
}
