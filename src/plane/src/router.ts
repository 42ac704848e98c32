// Where the reader is: all of it stands in the address behind the #, so that an address is a finding.
//
//   #/failures/a1b2…?source=bot&window=1h    view, further parts, parameters
import { signal } from '@preact/signals';

export interface Route {
  view: string;
  parts: string[];
  params: Record<string, string>;
}

/** What the reader has narrowed everything down to: kept when another view is chosen. */
export const FILTERS = ['endpoint', 'source', 'staffer_id'] as const;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [view = '', ...parts] = path.split('/').map(decode);
  return { view: view || 'overview', parts: parts.filter(Boolean), params: Object.fromEntries(new URLSearchParams(query)) };
}

export type Params = Record<string, string | number | boolean | null | undefined>;

/** The address of a view. Empty parameters are left out. */
export function href(view: string, parts: string[] = [], params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params))
    if (value !== null && value !== undefined && value !== '' && value !== false) query.set(name, String(value));
  const text = query.toString();
  return `#/${[view, ...parts].map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

export const route = signal<Route>(parse(location.hash));

addEventListener('hashchange', () => {
  route.value = parse(location.hash);
});

export function filters(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of FILTERS) {
    const value = route.value.params[name];
    if (value) kept[name] = value;
  }
  return kept;
}

/** The address of a view that keeps the filters. */
export function to(view: string, parts: string[] = [], params: Params = {}): string {
  return href(view, parts, { ...filters(), ...params });
}

/** This view's address with some parameters changed; null takes one away. */
export function here(params: Params): string {
  const r = route.value;
  return href(r.view, r.parts, { ...r.params, ...params });
}

export function go(address: string): void {
  location.hash = address;
}

/** Changes parameters in place: the way back does not lead through every letter that was typed. */
export function setParams(params: Params): void {
  const address = here(params);
  if (address === location.hash) return;
  history.replaceState(null, '', address);
  route.value = parse(location.hash);
}
