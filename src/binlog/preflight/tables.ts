import { quoteName } from '../source/quote-name.ts';
import { cascades } from './cascades.ts';
import { columnFormatChecks } from './column-formats.ts';
import { fail, nothingThere, pass, warn, watchedTables, type Check } from './check.ts';

const namesOf = (tables: readonly { name: string }[]): string => tables.map(({ name }) => name).join(', ');

const present: Check = {
  id: 'tables',
  title: 'Tables and columns of the rules',
  run({ tables, unseen, identity: { account }, dictionary: { schema } }) {
    const absent = tables.filter(({ access }) => access === 'missing').map(({ wanted }) => wanted);
    const missing = [...new Set([...absent, ...unseen])];
    const columns = tables.flatMap(({ wanted, missingColumns }) =>
      missingColumns.map((name) => `${wanted}.${name}`),
    );
    if (missing.length === 0 && columns.length === 0) return pass(`All are there in ${schema}.`);
    const parts = [
      ...(missing.length > 0
        ? [
            `The schema ${schema} has no table ${missing.join(', ')}, or nothing is granted on it: its events never fire.`,
          ]
        : []),
      ...(columns.length > 0 ? [`There is no column ${columns.join(', ')}: it is null in payloads.`] : []),
    ];
    return warn(
      parts.join(' '),
      'Name the tables and columns of this clinic in a rules file (rules: events.yaml), or leave it when they are not wanted.' +
        (unseen.length > 0
          ? `\nWhere they are there: GRANT SELECT ON ${quoteName(schema)}.* TO ${account};`
          : ''),
    );
  },
};

const primaryKeys: Check = {
  id: 'primary-keys',
  title: 'Primary keys',
  run(facts) {
    const tables = watchedTables(facts).filter(({ isView }) => !isView);
    if (tables.length === 0) return nothingThere;
    const without = tables.filter(({ key }) => key.length === 0);
    if (without.length === 0) return pass('Every watched table has one.');
    return fail(
      `${namesOf(without)} has none: its rows cannot be distinguished.`,
      without
        .map(
          ({ name }) =>
            `ALTER TABLE ${quoteName(facts.dictionary.schema)}.${quoteName(name)} ADD COLUMN row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY INVISIBLE;`,
        )
        .join('\n'),
    );
  },
};

const engines: Check = {
  id: 'engines',
  title: 'Storage engine',
  run(facts) {
    const tables = watchedTables(facts);
    if (tables.length === 0) return nothingThere;
    const views = tables.filter(({ isView }) => isView);
    if (views.length > 0) {
      return fail(
        `${namesOf(views)} is a view: the log has the rows of the tables beneath it.`,
        'Name the tables beneath it in the rules: SHOW CREATE VIEW shows them.',
      );
    }
    const others = tables.filter(({ engine }) => engine?.toLowerCase() !== 'innodb');
    if (others.length === 0) return pass('Every watched table is InnoDB.');
    return fail(
      `${others.map(({ name, engine }) => `${name} (${engine ?? 'none'})`).join(', ')} is not InnoDB: a change that is undone stays in the log.`,
      others
        .map(
          ({ name }) => `ALTER TABLE ${quoteName(facts.dictionary.schema)}.${quoteName(name)} ENGINE=InnoDB;`,
        )
        .join('\n'),
    );
  },
};

const labels: Check = {
  id: 'labels',
  title: 'Labels of ENUM and SET',
  run(facts) {
    const tables = watchedTables(facts);
    if (tables.length === 0) return nothingThere;
    const odd = tables.flatMap(({ name, columns }) =>
      columns
        .filter((column) => column.labels?.some((label) => /[,'"]/.test(label)))
        .map((column) => `${name}.${column.name}`),
    );
    if (odd.length === 0) return pass('None has a comma or a quote in it.');
    return warn(
      `Labels of ${odd.join(', ')} hold a comma or a quote: they are read right, but must be quoted in the rules, and a receiver that splits a payload at commas misreads them.`,
      'Write such a label in double quotes in the rules: becomes: ["a, b"].',
    );
  },
};

/** Engine before key: CSV has no keys, so its table gets a key after it is converted. */
export const tableChecks: readonly Check[] = [
  present,
  engines,
  primaryKeys,
  labels,
  ...columnFormatChecks,
  cascades,
];
