import type { JSX } from 'preact';
import { Panel } from '../parts/panels';

export function System(): JSX.Element {
  return <Panel title="System">…</Panel>;
}
