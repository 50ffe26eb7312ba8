import { nameTable } from '../foreign-key/foreign-key.ts';
import { findSilentKeys, isCovered, type SilentKey } from '../foreign-key/silent-keys.ts';
import { describeKey } from '../foreign-key/trigger-script.ts';
import { pass, skip, warn, type Check, type Facts } from './check.ts';

/** Keeps the finding on one terminal line. */
const DETAIL_CHARACTERS = 110;

/** Whether the server executes cascades itself and logs them: MySQL 9.6 and later, unless configured to leave them to InnoDB. */
const logsCascades = ({ variables }: Pick<Facts, 'variables'>): boolean =>
  variables.get('innodb_native_foreign_keys') === 'OFF';

export const cascades: Check = {
  id: 'cascades',
  title: 'Cascades of foreign keys',
  async run(facts) {
    const { dictionary, identity, source } = facts;
    const { schema } = dictionary;
    const watched = facts.tables.flatMap(({ watched: isWatched, table }) =>
      isWatched && table && !table.isView ? [{ schema, table: table.name }] : [],
    );
    if (watched.length === 0) return skip('None of the watched tables can be seen.');
    if (logsCascades(facts)) return pass('The server logs what cascades change.');
    const { keys, unread } = await findSilentKeys(source, watched, identity.lowerCaseTableNames !== 0);
    const silent = keys.filter((key) => !isCovered(key));
    if (silent.length > 0) return warn(nameKeys(silent, schema), remedyFor(silent, schema));
    if (unread.length > 0) {
      const names = unread.map((table) => nameTable(table, schema)).join(', ');
      return skip(`The definition of ${names} cannot be read: SELECT is granted on some columns only.`);
    }
    return pass(
      keys.length === 0
        ? 'No foreign key changes a watched table by itself.'
        : `Triggers log what ${keys.length} foreign keys change.`,
    );
  },
};

/** `Not logged: patients → appointments, payments; users → appointments; and 4 more foreign keys` */
function nameKeys(silent: readonly SilentKey[], schema: string): string {
  const byParent = Map.groupBy(silent, ({ key }) => nameTable(key.parent, schema));
  const parts: string[] = [];
  let named = 0;
  for (const [parent, keys] of byParent) {
    const children = [...new Set(keys.map(({ key }) => nameTable(key.child, schema)))];
    const part = `${parent} → ${children.join(', ')}`;
    if (parts.length > 0 && [...parts, part].join('; ').length > DETAIL_CHARACTERS) break;
    parts.push(part.length > DETAIL_CHARACTERS ? `${part.slice(0, DETAIL_CHARACTERS)}…` : part);
    named += keys.length;
  }
  const more = silent.length - named;
  return `Not logged: ${parts.join('; ')}${more > 0 ? `; and ${more} more foreign keys` : ''}.`;
}

function remedyFor(silent: readonly SilentKey[], schema: string): string {
  return [
    'This server does not log what a foreign key changes by itself:',
    ...silent.map(({ key }) => `-- ${describeKey(key, schema)}`),
    ...(silent.some(({ trigger }) => trigger === 'missing')
      ? [
          'Triggers make the deletes appear in the log. This prints them, with the statements that remove them, and changes nothing:',
          'odontology-webhooks check --triggers',
        ]
      : []),
    'Or move to MySQL 9.6 or later, which logs cascades. The event capture.unlogged_cascade reports when one may have happened.',
  ].join('\n');
}
