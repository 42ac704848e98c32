// The keyboard: `g` and a letter opens a view, `/` goes to the filter, `?` explains, j and k walk through rows.
import { signal } from '@preact/signals';
import { go, to } from './router';
import { VIEWS } from './views';

const CHORD_MS = 1_500;

export const help = signal(false);

let chordAt = 0;

function isTyping(e: KeyboardEvent): boolean {
  const t = e.target as HTMLElement | null;
  return !!t && (t.isContentEditable || /^(input|textarea|select)$/i.test(t.tagName));
}

/** Moves the focus through what carries `data-row`. */
function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('main [data-row]')];
  if (!rows.length) return;
  const at = rows.findIndex((r) => r.contains(document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

function press(e: KeyboardEvent): boolean {
  if (Date.now() - chordAt < CHORD_MS) {
    chordAt = 0;
    const view = VIEWS.find((v) => v.key === e.key);
    if (view) go(to(view.name));
    return !!view;
  }
  switch (e.key) {
    case 'g':
      chordAt = Date.now();
      return true;
    case '/': {
      const box = document.querySelector<HTMLInputElement>('main [data-filter]');
      box?.focus();
      box?.select();
      return !!box;
    }
    case '?':
      help.value = !help.value;
      return true;
    case 'j':
    case 'k':
      step(e.key === 'j' ? 1 : -1);
      return true;
    default:
      return false;
  }
}

export function listen(): void {
  addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
    if (isTyping(e)) {
      if (e.key === 'Escape') (e.target as HTMLElement).blur();
      return;
    }
    if (press(e)) e.preventDefault();
  });
}
