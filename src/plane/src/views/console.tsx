import type { JSX } from 'preact';
import { Panel } from '../parts/panels';

export function Console(): JSX.Element {
  return <Panel title="Console">…</Panel>;
}
