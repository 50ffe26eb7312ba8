import type { Store } from '../connection/client.ts';
import type { SchemaDifference } from './schema-difference.ts';
import { readViewQueries, toTokens } from './definitions.ts';

/**
 * Compares the views that the migrations make, and those of `optional` that exist, with their queries. A view that this program does not
 * make is named as a note.
 */
export async function compareViews(
  store: Store,
  optional: Readonly<Record<string, string>>,
): Promise<SchemaDifference[]> {
  const rows = await store.rows<{ name: string; query: string; security: string }>(
    `SELECT TABLE_NAME AS name, VIEW_DEFINITION AS query, SECURITY_TYPE AS security
     FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?`,
    [store.database],
  );
  const found = new Map(rows.map((row) => [row.name, row]));
  const own = readViewQueries();
  const known = new Map([...own, ...Object.entries(optional)]);
  const differences: SchemaDifference[] = [];
  for (const [name, query] of known) {
    const view = found.get(name);
    const remedy = own.has(name)
      ? `CREATE OR REPLACE VIEW \`${name}\` AS ${query.trim()};`
      : 'Run `migrate --auditor NAME` with the name of the auditor.';
    if (!view) {
      if (own.has(name))
        differences.push({ level: 'fail', kind: 'deleted', message: `the view ${name} was dropped`, remedy });
    } else if (toTokens(view.query, store.database) !== toTokens(query) || view.security !== 'DEFINER') {
      const message = `the view ${name} was edited: this version defines it otherwise`;
      differences.push({ level: 'fail', kind: 'edited', message, remedy });
    }
  }
  for (const name of found.keys()) {
    if (known.has(name)) continue;
    const message = `the schema of the store has a view of another program, ${name}`;
    differences.push({ level: 'warn', kind: 'inserted', message, remedy: `DROP VIEW \`${name}\`;` });
  }
  return differences;
}
