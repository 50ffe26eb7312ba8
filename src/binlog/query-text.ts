/** What a Query event's statement is, as far as a reader of rows must know. The text itself goes nowhere: it may hold patient data. */
export type StatementClass =
  | 'begin'
  | 'commit'
  | 'rollback'
  /** ROLLBACK TO SAVEPOINT: part of what came before did not happen. */
  | 'rollback-to'
  /** SAVEPOINT, XA START, XA END: nothing happens yet. */
  | 'control'
  | 'xa-prepare'
  | 'xa-commit'
  | 'xa-rollback'
  /** Definitions, accounts, maintenance: commits by itself and changes no row that was there. */
  | 'ddl'
  | 'truncate'
  /** A statement that changes rows, logged as text. */
  | 'dml';

const ddlVerbs: ReadonlySet<string> = new Set([
  'CREATE',
  'ALTER',
  'DROP',
  'RENAME',
  'GRANT',
  'REVOKE',
  'SET',
  'ANALYZE',
  'OPTIMIZE',
  'REPAIR',
  'FLUSH',
  'INSTALL',
  'UNINSTALL',
  'IMPORT',
  'CHECK',
  'CACHE',
  'LOCK',
  'UNLOCK',
  'RESET',
  'CLONE',
  'PURGE',
  'SHUTDOWN',
  'COMMENT',
  'BACKUP',
]);

const leadingComments = /^(?:\s+|\/\*[^!M][\s\S]*?\*\/|\/\*\*\/|--[^\n]*\n|#[^\n]*\n)+/;

/** Classifies by the first words, comments passed over. Whatever is not known to be harmless counts as `dml`. */
export function classifyStatement(text: string): StatementClass {
  // What MySQL writes in front of every transaction.
  if (text === 'BEGIN') return 'begin';
  const head = text
    .replace(leadingComments, '')
    .replace(/^\/\*[!M]+\d*\s*/, '')
    .slice(0, 200);
  const words = head.toUpperCase().match(/[A-Z_]+/g) ?? [];
  const [first = '', second = ''] = words;
  switch (first) {
    case 'BEGIN':
    case 'START':
      return 'begin';
    case 'COMMIT':
      return 'commit';
    case 'ROLLBACK':
      return second === 'TO' ? 'rollback-to' : 'rollback';
    case 'SAVEPOINT':
    case 'RELEASE':
      return 'control';
    case 'XA':
      return xaClass(second);
    case 'TRUNCATE':
      return 'truncate';
    default:
      return ddlVerbs.has(first) ? 'ddl' : 'dml';
  }
}

function xaClass(second: string): StatementClass {
  if (second === 'PREPARE') return 'xa-prepare';
  if (second === 'COMMIT') return 'xa-commit';
  if (second === 'ROLLBACK') return 'xa-rollback';
  return 'control';
}

/** `CREATE TABLE … SELECT` is logged by MySQL 8.0.21+ as a definition that opens a transaction. */
export function opensTransaction(text: string): boolean {
  return /\bSTART\s+TRANSACTION\s*$/i.test(text);
}

/** The tables of the list that a statement names as a word, quoted or not. A name in a string counts too: rather once too often. */
export function namedTables(text: string, tables: Iterable<string>): string[] {
  const words = new Set(text.toLowerCase().match(/[\p{L}\p{N}_$]+/gu));
  return [...tables].filter(
    (table) => words.has(table.toLowerCase()) || text.toLowerCase().includes(`\`${table.toLowerCase()}\``),
  );
}
