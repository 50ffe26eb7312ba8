import type { Store } from '../connection/client.ts';
import type { SchemaDifference } from './schema-difference.ts';
import { readViewQueries, toTokens } from './definitions.ts';

interface PrintedView {
  name: string;
  /** Empty for an account without SHOW VIEW. */
  query: string;
  security: string;
  schema: string;
  /** 1 if the server does not distinguish `Store` and `store`: its views may name either. */
  isCaseless: number;
}

function isOther({ query, security, schema, isCaseless }: PrintedView, expected: string): boolean {
  const schemaNames = isCaseless ? [schema, schema.toLowerCase()] : [schema];
  return toTokens(query, schemaNames) !== toTokens(expected) || security !== 'DEFINER';
}

/**
 * Compares the views that the migrations create, and the existing ones of `optional`, with their queries. A view that this program does not
 * create is reported as a note.
 */
export async function compareViews(
  store: Store,
  optional: Readonly<Record<string, string>>,
): Promise<SchemaDifference[]> {
  const rows = await store.rows<PrintedView>(
    `SELECT TABLE_NAME AS name, VIEW_DEFINITION AS query, SECURITY_TYPE AS security, TABLE_SCHEMA AS \`schema\`,
       @@lower_case_table_names <> 0 AS isCaseless
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
    } else if (view.query === '') {
      const message = `the query of the view ${name} cannot be read`;
      const grant = `GRANT SHOW VIEW ON \`${store.database}\`.* TO the account of the store;`;
      differences.push({ level: 'warn', kind: 'edited', message, remedy: grant });
    } else if (isOther(view, query)) {
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
