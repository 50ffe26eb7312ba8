import { isAtLeast } from '../../source/server-version.ts';
import { quoteName } from '../../source/quote-name.ts';
import type { Source, SourceIdentity, SourceRow } from '../../source/source.ts';
import type { Link } from './reach.ts';

/** System schemas: nothing in them leads to an application's table. */
const serverSchemas = "('mysql', 'sys', 'information_schema', 'performance_schema')";

/** Memory limit for the text of links: if it is exceeded, nothing is proved. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Reads the links between the tables of all schemas; null if they exceed the memory limit. Complete only if `missingPrivileges` returns
 * nothing for the user.
 */
export async function readLinks(source: Source): Promise<Link[] | null> {
  const [views, triggers, routines, keys] = await Promise.all([
    source.query(
      'SELECT table_schema AS objectSchema, table_name AS objectName, view_definition AS body,' +
        ` '' AS sqlMode FROM information_schema.views WHERE table_schema NOT IN ${serverSchemas}`,
    ),
    source.query(
      'SELECT event_object_schema AS objectSchema, event_object_table AS objectName, trigger_schema AS bodySchema,' +
        ` action_statement AS body, sql_mode AS sqlMode FROM information_schema.triggers WHERE trigger_schema NOT IN ${serverSchemas}`,
    ),
    source.query(
      'SELECT routine_schema AS objectSchema, routine_name AS objectName, sql_mode AS sqlMode,' +
        " IF(routine_body = 'SQL', routine_definition, NULL) AS body" +
        ` FROM information_schema.routines WHERE routine_schema NOT IN ${serverSchemas}`,
    ),
    source.query(
      'SELECT unique_constraint_schema AS objectSchema, referenced_table_name AS objectName,' +
        ' constraint_schema AS bodySchema, table_name AS child FROM information_schema.referential_constraints WHERE' +
        " delete_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT') OR update_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT')",
    ),
  ]);
  const links = [
    ...views.map((row) => toLink('view', row)),
    ...triggers.map((row) => toLink('trigger', row)),
    ...routines.map((row) => toLink('routine', row)),
    ...keys.map((row) =>
      toLink('foreign-key', { ...row, sqlMode: '', body: quoteName(textOf(row, 'child')) }),
    ),
  ];
  const bytes = links.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
  return bytes > MAX_BYTES ? null : links;
}

function toLink(kind: Link['kind'], row: SourceRow): Link {
  const schema = textOf(row, 'objectSchema');
  const body = textOf(row, 'body');
  return {
    kind,
    schema,
    name: textOf(row, 'objectName'),
    body: body === '' ? null : body,
    bodySchema: textOf(row, 'bodySchema') || schema,
    sqlMode: textOf(row, 'sqlMode'),
  };
}

/** Some versions return views and routines as bytes. */
function textOf(row: SourceRow, name: string): string {
  const cell = row[name] ?? '';
  return cell instanceof Uint8Array ? Buffer.from(cell).toString('utf8') : String(cell);
}

/** Privileges that our user lacks, as GRANT spells them. */
export interface MissingGrant {
  privileges: readonly string[];
  on: string;
}

/**
 * Returns the privileges that our user lacks to see every trigger, view and routine of the server. Without them, an invisible object
 * looks like a missing one. Views show their text only to users who may read them: a view without text is assumed to lead anywhere.
 */
export async function missingPrivileges(
  source: Source,
  { flavour, version }: SourceIdentity,
): Promise<MissingGrant[]> {
  const grants = await readGrants(source);
  const has = (privilege: string, ...places: string[]): boolean =>
    grants.some(
      ({ on, privileges }) =>
        places.includes(on) && (privileges.has(privilege) || privileges.has('ALL PRIVILEGES')),
    );
  const isRestricted = grants.some(({ isRevoke }) => isRevoke);
  const missing = ['TRIGGER', 'SHOW VIEW'].filter((privilege) => isRestricted || !has(privilege, '*.*'));
  if (flavour === 'mariadb') {
    const seesRoutines = has('SELECT', '*.*', 'mysql.*', 'mysql.proc') || has('SHOW CREATE ROUTINE', '*.*');
    return [
      ...(missing.length > 0 ? [{ privileges: missing, on: '*.*' }] : []),
      ...(seesRoutines ? [] : [{ privileges: ['SELECT'], on: 'mysql.proc' }]),
    ];
  }
  if (!has('SELECT', '*.*') && !has('SHOW_ROUTINE', '*.*')) {
    missing.push(isAtLeast(version, '8.0.20') ? 'SHOW_ROUTINE' : 'SELECT');
  }
  return missing.length > 0 ? [{ privileges: missing, on: '*.*' }] : [];
}

interface Grants {
  on: string;
  privileges: ReadonlySet<string>;
  /** MySQL's partial_revokes: a privilege granted on all schemas is revoked in some. */
  isRevoke: boolean;
}

async function readGrants(source: Source): Promise<Grants[]> {
  const rows = await source.query(await grantsQuestion(source));
  return rows.flatMap((row) => {
    const match = /^(GRANT|REVOKE) (.+?) ON (?:TABLE )?(\S+) (?:TO|FROM) /.exec(
      String(Object.values(row)[0]),
    );
    if (!match) return [];
    const [, verb, privileges = '', on = ''] = match;
    return [
      {
        on: on.replaceAll('`', ''),
        privileges: new Set(privileges.split(',').map((each) => each.trim())),
        isRevoke: verb === 'REVOKE',
      },
    ];
  });
}

/** MySQL lists the privileges of active roles only if the statement names the roles. */
async function grantsQuestion(source: Source): Promise<string> {
  const [row] = await source.query('SELECT CURRENT_ROLE() AS role');
  const role = String(row?.['role'] ?? 'NONE');
  return role.startsWith('`') ? `SHOW GRANTS FOR CURRENT_USER() USING ${role}` : 'SHOW GRANTS';
}
