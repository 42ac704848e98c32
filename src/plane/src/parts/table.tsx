// Tables: a column is a heading and what stands in a row of it.
import type { ComponentChildren, JSX } from 'preact';
import { go } from '../router';

export interface Column<T> {
  head: ComponentChildren;
  cell: (row: T) => ComponentChildren;
  /** Numbers stand to the right. */
  right?: boolean;
  /** Classes of its cells: `grow` takes the room that is left, `wide` and `mid` go on small screens. */
  class?: string;
  title?: string;
}

interface TableProps<T> {
  columns: Column<T>[];
  rows: readonly T[];
  id: (row: T) => string | number;
  /** What it is a table of, for those who do not see it. */
  label: string;
  /** Where a row leads: Enter, or a click beside its links. */
  link?: (row: T) => string;
  /** Classes of a row. */
  rowClass?: (row: T) => string;
  /** The same height for all rows, whatever is in them. */
  dense?: boolean;
}

/** Rows with a link can be walked with j and k. */
export function Table<T>({ columns, rows, id, label, link, rowClass, dense = false }: TableProps<T>): JSX.Element {
  return (
    <div class="scroll" tabIndex={-1}>
      <table class={dense ? 'dense' : ''} aria-label={label}>
        <thead>
          <tr>
            {columns.map((c) => (
              <th scope="col" class={`${c.right ? 'right' : ''} ${c.class ?? ''}`} title={c.title}>
                {c.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr
              key={id(row)}
              class={`${link ? 'leads' : ''} ${rowClass?.(row) ?? ''}`}
              tabIndex={link ? 0 : undefined}
              data-row={link ? '' : undefined}
              onClick={(e) => {
                if (!link || (e.target as Element).closest('a, button') || String(getSelection() ?? '')) return;
                if (e.ctrlKey || e.metaKey) open(link(row));
                else go(link(row));
              }}
              onKeyDown={(e) => {
                if (link && e.key === 'Enter' && e.target === e.currentTarget) go(link(row));
              }}
            >
              {columns.map((c) => (
                <td class={`${c.right ? 'right' : ''} ${c.class ?? ''}`}>{c.cell(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
