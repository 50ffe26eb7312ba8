import type { ForeignKey } from '../../binlog/foreign-key/foreign-key.ts';
import { findSilentKeys, type SilentKey } from '../../binlog/foreign-key/silent-keys.ts';
import { createTrigger, describeKey, dropTrigger } from '../../binlog/foreign-key/trigger-script.ts';
import { nameVersion } from '../../binlog/source/server-version.ts';
import { openSource } from '../../binlog/source/source.ts';
import type { Config } from '../../config/types.ts';
import { filterNames, readCompiledSource } from '../../capture/compiled-source.ts';

/** The triggers that make changes to the children's rows appear in the binlog, and the statements that remove them. */
export interface TriggerScript {
  server: string;
  schema: string;
  /** Whether the triggers are needed; false if the server logs cascades without them. */
  needed: boolean;
  create: readonly { why: string; statement: string }[];
  /** Triggers that exist already. */
  present: readonly string[];
  uncovered: readonly string[];
  /** Removes the triggers of `create` and of `present`. */
  drop: readonly string[];
}

/** Reads the keys and the triggers from the source; changes nothing. Throws ERR_SOURCE_*, ERR_RULES. */
export async function readTriggerScript(config: Config): Promise<TriggerScript> {
  const source = openSource(config.source.url);
  try {
    const { identity, dictionary, rules } = await readCompiledSource(source, config, {
      filterNames: filterNames(config.webhooks),
    });
    const { schema, tables } = dictionary;
    const watched = [...rules.watch.keys()].flatMap((name) => {
      const table = tables.get(name);
      return table && !table.isView ? [{ schema, table: table.name }] : [];
    });
    const [native] = await source.query("SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'");
    const { keys } = await findSilentKeys(source, watched, identity.lowerCaseTableNames !== 0);
    return {
      server: nameVersion(identity.version),
      ...toScript(keys, schema, native?.['Value'] !== 'OFF'),
    };
  } finally {
    await source.close();
  }
}

function toScript(
  keys: readonly SilentKey[],
  schema: string,
  needed: boolean,
): Omit<TriggerScript, 'server'> {
  const there = keys.filter(({ trigger }) => trigger === 'there').map(({ key }) => key);
  const missing = needed ? keys.filter(({ trigger }) => trigger === 'missing').map(({ key }) => key) : [];
  return {
    schema,
    needed,
    create: missing.map((key) => ({ why: onDelete(key, schema), statement: createTrigger(key)! })),
    present: there.map((key) => onDelete(key, schema)),
    uncovered: needed ? keys.flatMap((key) => whyUncovered(key, schema)) : [],
    drop: [...there, ...missing].map(dropTrigger),
  };
}

const onDelete = (key: ForeignKey, schema: string): string => describeKey({ ...key, onUpdate: null }, schema);

function whyUncovered({ key, uncovered }: SilentKey, schema: string): string[] {
  return uncovered.map((reason) => {
    switch (reason) {
      case 'on update':
        return `${describeKey({ ...key, onDelete: null }, schema)}: a trigger would come too early for the key (error 1452) or after it`;
      case 'circle':
        return `${onDelete(key, schema)}: the keys lead back to the same table, which a trigger may not change (error 1442)`;
    }
  });
}

const notice = `-- Read before you run it, and try it on a copy first:
--  * A statement that deletes from a parent and also reads or writes the child, by a join or a subquery, fails with error 1442.
--  * Triggers of the children fire, which they do not when a foreign key changes their rows.
--  * The triggers run with the rights of the user who creates them: DELETE and UPDATE on the children.
--  * MySQL may ask for log_bin_trust_function_creators = ON, or the right SUPER, to create them (error 1419).`;

/** The script as text for mysql or mariadb: the creating statements can be run, the removing statements are comments. */
export function formatTriggerScript(script: TriggerScript): string {
  const { server, schema, needed, create, present, uncovered, drop } = script;
  const head = `-- odontology-webhooks check --triggers: ${server}, schema ${oneLine(schema)}. Nothing was changed.`;
  const state = !needed
    ? '-- No trigger is needed: this server logs what foreign keys change.'
    : create.length === 0
      ? '-- No trigger is to be created.'
      : `${notice}\n\n-- ===== Create: ${create.length} triggers, each does what a foreign key does ON DELETE, before it =====`;
  return [
    `${head}\n${state}`,
    ...create.map(({ why, statement }) => `-- ${oneLine(why)}\n${statement}`),
    ...listed('Already there', present),
    ...listed('Not covered by any trigger', uncovered),
    ...(drop.length === 0
      ? []
      : [
          [
            '-- ===== Reverse: removes the triggers. Take the leading "-- " away to run it, for example by',
            "-- sed -n 's/^-- \\(DROP TRIGGER .*\\)/\\1/p' =====",
            ...drop.map((statement) => `-- ${oneLine(statement)}`),
          ].join('\n'),
        ]),
  ].join('\n\n');
}

function listed(title: string, lines: readonly string[]): string[] {
  return lines.length === 0
    ? []
    : [[`-- ===== ${title} =====`, ...lines.map((line) => `-- ${oneLine(line)}`)].join('\n')];
}

/** A name may contain a line break, which would end the comment. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, ' ');
}
