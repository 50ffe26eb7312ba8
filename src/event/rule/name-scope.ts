import type { SourceColumn, SourceSchema, SourceTable } from '../../binlog/types.ts';
import type { YamlPath } from '../../config/problems.ts';
import { didYouMean } from '../../lib/suggest.ts';

/** The scope in which the names of a rule are resolved. */
export interface NameScope {
  schema: SourceSchema;
  /** The table that has the named columns. */
  table: SourceTable;
  /** The columns found in the table, by lower-case name, in the order of the file. */
  named: Map<string, SourceColumn>;
  /** The columns that `$changed` reports; null for a looked-up row, which has no earlier image. */
  changed: readonly SourceColumn[] | null;
  /** Columns that must be read, by table, all in lower case. */
  watch: Map<string, Set<string>>;
  report: Report;
}

export interface Report {
  /** Whether a name that the schema lacks is a mistake of the file. */
  isStrict: boolean;
  /** Reports a mistake that does not depend on the schema. */
  wrong(path: YamlPath, message: string): void;
  /** Reports something that the schema lacks: a mistake in a strict file, a warning otherwise. */
  lacking(path: YamlPath, lack: Lack): void;
}

interface Lack {
  message: string;
  /** The nearest known word, for an operator who can correct the file. */
  suggestion: string;
  /** What happens instead, for an operator who cannot correct it. */
  consequence: string;
}

/** A name in the file, and the consequence for the rule if the schema does not have it. */
export interface Mention {
  name: string;
  path: YamlPath;
  consequence: string;
}

export function findTable(
  { schema, report }: Pick<NameScope, 'schema' | 'report'>,
  { name, path, consequence }: Mention,
): SourceTable | undefined {
  const table = schema.get(name.toLowerCase());
  if (!table) {
    const names = [...schema.values()].map((each) => each.name);
    report.lacking(path, {
      message: `there is no table "${name}"`,
      suggestion: hint(name, names),
      consequence,
    });
  } else if (table.namesakes && table.name !== name) {
    const names = table.namesakes.map((each) => `"${each}"`).join(' and ');
    const isThere = table.namesakes.includes(name);
    const remedy = isThere ? 'one rules file can name one of them' : 'write one of these names exactly';
    report.wrong(
      path,
      `there are tables ${names}, whose names differ in letter case alone, for "${name}": ${remedy}`,
    );
  }
  return table;
}

/** Finds a column of the scope's table, and marks it to be read. */
export function findColumn(scope: NameScope, mention: Mention): SourceColumn | undefined {
  const { table, report } = scope;
  const { name, path, consequence } = mention;
  const column = peekColumn(table, name);
  if (column && holdsPassword(column)) {
    report.wrong(
      path,
      `"${column.name}" holds passwords, which are never read; name a column that changes with it, such as a date`,
    );
    return undefined;
  }
  if (column) {
    scope.named.set(name.toLowerCase(), column);
    return column;
  }
  report.lacking(path, {
    message: `table "${table.name}" has no column "${name}"`,
    suggestion: hint(
      name,
      table.columns.map((each) => each.name),
    ),
    consequence,
  });
  return undefined;
}

/** Decides by the column's name and by its kind, text or bytes: password_changed_at holds no password. */
export function holdsPassword({ name, kind }: Pick<SourceColumn, 'name' | 'kind'>): boolean {
  return (kind === 'text' || kind === 'binary') && isPasswordName(name);
}

export function isPasswordName(name: string): boolean {
  return /(password|passwd|pwd|passphrase|contrase(ñ|n)a)(_?hash)?$/iu.test(name.normalize('NFC'));
}

export function peekColumn(table: SourceTable, name: string): SourceColumn | undefined {
  return table.columns.find((column) => column.name.toLowerCase() === name.toLowerCase());
}

/** The nearest known word, or all known words if none is near. */
export function hint(word: string, known: readonly string[]): string {
  return (
    didYouMean(word, known) ||
    (known.length > 0 && known.length <= 40 ? ` (there are ${known.join(', ')})` : '')
  );
}

export function watchColumns(watch: NameScope['watch'], table: SourceTable, columns: Iterable<string>): void {
  const name = table.name.toLowerCase();
  const watched = watch.get(name) ?? new Set();
  for (const column of columns) watched.add(column.toLowerCase());
  watch.set(name, watched);
}
