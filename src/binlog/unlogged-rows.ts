/** A statement that takes rows of a table away, or brings some, without a row event for any of them. */
export interface UnloggedRows {
  /** `TRUNCATE`, `DROP TABLE`: for the message. */
  statement: string;
  /** What it names; a null schema is the session's own, a null table all of the schema. */
  tables: readonly { schema: string | null; table: string | null }[];
}

const identifier = '(?:`(?:[^`]|``)+`|"(?:[^"]|"")+"|[\\p{L}\\p{N}_$]+)';
const qualified = `${identifier}(?:\\s*\\.\\s*${identifier})?`;
const list = `(${qualified}(?:\\s*,\\s*${qualified})*)`;
const pattern = (text: string): RegExp => new RegExp(`^${text.replaceAll(' ', '\\s+')}`, 'iu');

/** A temporary table of the same name is none of ours: DROP TEMPORARY TABLE is not among them. */
const byTable: readonly (readonly [statement: string, RegExp])[] = [
  ['TRUNCATE', pattern(`TRUNCATE (?:TABLE )?${list}`)],
  ['DROP TABLE', pattern(`DROP TABLES? (?:IF EXISTS )?${list}`)],
  ['CREATE OR REPLACE TABLE', pattern(`CREATE OR REPLACE TABLE ${list}`)],
];
const alterTable = pattern(`ALTER (?:ONLINE |OFFLINE |IGNORE )*TABLE (?:IF EXISTS )?${list}`);
const onPartitions =
  /\b(?:(?:DROP|TRUNCATE|EXCHANGE|CONVERT)\s+PARTITION|CONVERT\s+TABLE|(?:DISCARD|IMPORT)\s+(?:PARTITION\b.*?)?TABLESPACE)\b/isu;
const otherTable = new RegExp(`\\b(?:WITH|TO|CONVERT)\\s+TABLE\\s+(${qualified})`, 'iu');
const dropSchema = pattern(`DROP (?:DATABASE|SCHEMA) (?:IF EXISTS )?(${identifier})`);

/** What a definition statement does to rows without logging them; null for one that leaves every row as it was. */
export function findUnloggedRows(text: string): UnloggedRows | null {
  const plain = withoutComments(text);
  for (const [statement, form] of byTable) {
    const named = form.exec(plain)?.[1];
    if (named !== undefined) return { statement, tables: toTables(named) };
  }
  const schema = dropSchema.exec(plain)?.[1];
  if (schema !== undefined)
    return { statement: 'DROP DATABASE', tables: [{ schema: unquoted(schema), table: null }] };
  const altered = alterTable.exec(plain)?.[1];
  if (altered === undefined || !onPartitions.test(plain)) return null;
  const other = otherTable.exec(plain)?.[1];
  const names = other === undefined ? altered : `${altered},${other}`;
  return { statement: 'ALTER TABLE … PARTITION or TABLESPACE', tables: toTables(names) };
}

/** What stands in a comment for some versions alone counts: DROP /*!40005 TEMPORARY *\/ TABLE. */
function withoutComments(text: string): string {
  return text
    .replaceAll(/\/\*M?!\d*(.*?)\*\//gs, ' $1 ')
    .replaceAll(/\/\*.*?\*\//gs, ' ')
    .replaceAll(/(?:--\s|#)[^\n]*\n/g, ' ')
    .trim();
}

function toTables(names: string): UnloggedRows['tables'] {
  return (names.match(new RegExp(qualified, 'giu')) ?? []).map((name) => {
    const parts = (name.match(new RegExp(identifier, 'giu')) ?? []).map(unquoted);
    return { schema: parts.length > 1 ? parts[0]! : null, table: parts.at(-1)! };
  });
}

function unquoted(name: string): string {
  const quote = name[0];
  return quote === '`' || quote === '"' ? name.slice(1, -1).replaceAll(quote + quote, quote) : name;
}
