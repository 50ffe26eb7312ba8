import { setVariable } from '../../db/connection/set-variable.ts';
import { fractionOf, type DictionaryColumn, type DictionaryTable } from '../source/dictionary.ts';
import { quoteName } from '../source/quote-name.ts';
import { fail, nothingThere, pass, watchedTables, type Check, type Facts } from './check.ts';

const MAX_NAME_CHARACTERS = 64;

const qualifiedName = ({ dictionary: { schema } }: Facts, table: string): string =>
  `${quoteName(schema)}.${quoteName(table)}`;

/** MariaDB logs changes of a table with transaction-precise history as statements, regardless of binlog_format. */
const history: Check = {
  id: 'history',
  title: 'System-versioned tables',
  run(facts) {
    if (facts.identity.flavour === 'mysql') return null;
    const tables = watchedTables(facts);
    if (tables.length === 0) return nothingThere;
    const precise = tables.filter(hasPreciseHistory);
    if (precise.length === 0) return pass('No watched table keeps its history by transaction number.');
    return fail(
      `${precise.map(({ name }) => name).join(', ')} keeps its history by transaction number (BIGINT UNSIGNED GENERATED ALWAYS AS ROW START): ` +
        'the server logs its changes as statements, although binlog_format is ROW. History by time is logged as rows.',
      precise.map((table) => historyByTime(facts, table)).join('\n'),
    );
  },
};

const hasPreciseHistory = ({ columns }: DictionaryTable): boolean =>
  columns.some(({ period, type }) => period === 'end' && type.startsWith('bigint'));

/** The server has no statement that changes the kind of history, so it is saved in a separate table (MariaDB 10.11.18, 11.8.8). */
function historyByTime(facts: Facts, { name, columns }: DictionaryTable): string {
  const table = qualifiedName(facts, name);
  const saved = qualifiedName(facts, `${name.slice(0, MAX_NAME_CHARACTERS - '_history'.length)}_history`);
  const drops = columns
    .filter(({ period }) => period !== null)
    .map((column) => `, DROP COLUMN ${quoteName(column.name)}`)
    .join('');
  return [
    `CREATE TABLE ${saved} AS SELECT * FROM ${table} FOR SYSTEM_TIME ALL; -- DROP SYSTEM VERSIONING removes the rows of the past`,
    'SET SESSION system_versioning_alter_history = KEEP;',
    `ALTER TABLE ${table} DROP SYSTEM VERSIONING${drops};`,
    `ALTER TABLE ${table} ADD SYSTEM VERSIONING;`,
  ].join('\n');
}

/** Finds columns in a format whose value lengths the log does not contain: then no column of the table can be read. */
const formats: Check = {
  id: 'column-formats',
  title: 'Formats of columns',
  async run(facts) {
    if (facts.identity.flavour === 'mysql') return null;
    const tables = watchedTables(facts);
    if (tables.length === 0) return nothingThere;
    const old = tables.flatMap((table) => {
      const columns = table.columns.filter((column) => isOldDecimal(column) || isOldFraction(column));
      return columns.length > 0 ? [{ name: table.name, columns }] : [];
    });
    if (old.length === 0) return pass('The log says how long the values of every column are.');
    const names = old.flatMap(({ name, columns }) => columns.map((column) => `${name}.${column.name}`));
    const conversions = await Promise.all(old.map((table) => convert(facts, table)));
    return fail(
      `${names.join(', ')}: the format is that of an old server (DECIMAL of before MySQL 5.0.3, or fractions of a second of before ` +
        'MariaDB 10.1), and the log does not say how long its values are.',
      [...keepNewFormat(facts, old), ...conversions].join('\n'),
    );
  },
};

interface OldTable {
  name: string;
  /** The columns in an old format. */
  columns: readonly DictionaryColumn[];
}

/** MariaDB 10.11.18 prints `decimal(10,2)/*old*\/`. */
const isOldDecimal = ({ type }: DictionaryColumn): boolean => /^decimal\b.*\/\*old\*\//.test(type);

/** MariaDB 10.11.18 prints `datetime(3) /* mariadb-5.3 *\/`; columns without a fraction have a known length. */
const isOldFraction = ({ type }: DictionaryColumn): boolean =>
  type.includes('mariadb-5.3') && fractionOf(type) > 0;

/** While the variable is OFF, ALTER TABLE … FORCE writes the old format again. */
function keepNewFormat({ identity, variables }: Facts, old: readonly OldTable[]): string[] {
  const isNeeded = old.some(({ columns }) => columns.some(isOldFraction));
  if (!isNeeded || variables.get('mysql56_temporal_format') !== 'OFF') return [];
  return [setVariable('mysql56_temporal_format', 'ON', identity.flavour)];
}

/** FORCE rebuilds temporal columns but not DECIMAL columns, which MODIFY with the same definition converts (MariaDB 10.11.18). */
async function convert(facts: Facts, { name, columns }: OldTable): Promise<string> {
  const table = qualifiedName(facts, name);
  const decimals = columns.filter(isOldDecimal);
  if (decimals.length === 0) return `ALTER TABLE ${table} FORCE;`;
  const [row] = await facts.source.query(`SHOW CREATE TABLE ${table}`);
  const lines = String(row?.['Create Table']).split('\n');
  const definitionOf = (column: string): string =>
    lines
      .find((line) => line.startsWith(`  ${quoteName(column)} `))!
      .trim()
      .replace(/,$/, '')
      .replace('/*old*/', '');
  return `ALTER TABLE ${table} ${decimals.map((column) => `MODIFY ${definitionOf(column.name)}`).join(', ')}, FORCE;`;
}

export const columnFormatChecks: readonly Check[] = [history, formats];
