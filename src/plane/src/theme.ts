// Light or dark: as the system has it, or as the reader wants it.
import { computed, effect, signal } from '@preact/signals';

const NAME = 'observer.theme';
export type Choice = 'auto' | 'light' | 'dark';
const CHOICES: Choice[] = ['auto', 'light', 'dark'];

function stored(): Choice {
  try {
    return CHOICES.find((c) => c === localStorage.getItem(NAME)) ?? 'auto';
  } catch {
    return 'auto';
  }
}

const system = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', (e) => {
  systemDark.value = e.matches;
});

export const choice = signal<Choice>(stored());
/** What is shown. */
export const theme = computed<'light' | 'dark'>(() =>
  choice.value === 'auto' ? (systemDark.value ? 'dark' : 'light') : choice.value,
);

export function nextTheme(): void {
  choice.value = CHOICES[(CHOICES.indexOf(choice.value) + 1) % CHOICES.length] ?? 'auto';
  try {
    localStorage.setItem(NAME, choice.value);
  } catch {
    // it holds for this page
  }
}

effect(() => {
  document.documentElement.dataset['theme'] = theme.value;
});
