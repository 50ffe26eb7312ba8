import { createConnection } from 'mysql2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { textDecoder } from '../../src/binlog/decode/charset.ts';
import { byName, endOfLog, openReader, takeRows } from '../support/read-log.ts';
import { sendRaw } from '../support/send-raw.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';

const upTo = (end: number): number[] => Array.from({ length: end }, (_, i) => i);
const range = (from: number, to: number): number[] => upTo(to - from + 1).map((i) => from + i);
const digits = range(0x30, 0x39);
const highBytes = range(0x81, 0xfe);

/** Sequences of bytes, each in a row of its own: what the server refuses to store is then known one by one. */
const single = upTo(0x100).map((byte) => Buffer.from([byte]));
const double = upTo(0x1_0000).map((code) => Buffer.from([code >> 8, code & 0xff]));
const after8f = double.map((code) => Buffer.from([0x8f, ...code]));

/** Many characters to a row, where the server stores all of them. */
const fourBytes = highBytes.flatMap((first) =>
  digits.map((second) =>
    Buffer.from(highBytes.flatMap((third) => digits.flatMap((fourth) => [first, second, third, fourth]))),
  ),
);
const isSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdfff;

/** Every character up to a last one, 4,096 to a row. */
function everyCharacter(last: number): string[] {
  return upTo((last + 1) / 0x1000).map((block) =>
    String.fromCodePoint(
      ...range(block * 0x1000, block * 0x1000 + 0xfff).filter((code) => !isSurrogate(code)),
    ),
  );
}
function utf32be(text: string): Buffer {
  const bytes = Buffer.alloc(Array.from(text).length * 4);
  Array.from(text).forEach((character, i) => bytes.writeUInt32BE(character.codePointAt(0)!, i * 4));
  return bytes;
}

const ucs2 = double.filter((code) => !isSurrogate(code.readUInt16BE(0)));
const all = everyCharacter(0x10_ffff);
const utf8 = all.map((text) => Buffer.from(text));
const utf8mb3 = everyCharacter(0xffff).map((text) => Buffer.from(text));
const utf16 = all.map((text) => Buffer.from(text, 'utf16le').swap16());
const utf16le = all.map((text) => Buffer.from(text, 'utf16le'));
const utf32 = all.map(utf32be);

/** What is asked of the character sets, by their names; of the others every byte, and every two bytes if a character may have two. */
const asked: Readonly<Record<string, readonly Buffer[][]>> = {
  utf8mb4: [single, double, utf8],
  utf8mb3: [single, double, utf8mb3],
  ucs2: [ucs2],
  utf16: [double, utf16],
  utf16le: [double, utf16le],
  utf32: [utf32],
  ujis: [single, double, after8f],
  eucjpms: [single, double, after8f],
  gb18030: [single, double, fourBytes],
};

/** Characters that are compared at the least: a test that asks less fails. */
const leastCharacters = { mysql: 6_880_000, mariadb: 5_240_000, 'mariadb-11.8': 5_240_000 } as const;

interface Answer {
  given: Buffer;
  utf8: Buffer;
}

describe.each(servers)('character sets, as %s converts them', (variant) => {
  let schema: TestSchema;
  beforeAll(async () => {
    schema = await createSchema(sharedServer(variant));
    await schema.query("SET SESSION sql_mode = '', sql_log_bin = 0");
  });
  afterAll(() => schema.drop());

  const tables = new Map<readonly Buffer[], string>();

  /** The table that holds the sequences as bytes: made once, since most character sets are asked about the same. */
  async function tableOf(sequences: readonly Buffer[]): Promise<string> {
    const known = tables.get(sequences);
    if (known !== undefined) return known;
    const table = `sequences${tables.size}`;
    tables.set(sequences, table);
    await schema.query(`CREATE TABLE ${table} (id INT PRIMARY KEY, bytes VARBINARY(20000))`);
    const rows = sequences.map((bytes, id) => [id, bytes]);
    for (let at = 0; at < rows.length; at += 10_000)
      await schema.query(`INSERT INTO ${table} VALUES ?`, [rows.slice(at, at + 10_000)]);
    return table;
  }

  /** Those of the sequences that the server stores as text of the character set, and that text as utf8mb4. */
  async function convert(charset: string, sequences: readonly Buffer[]): Promise<Answer[]> {
    const table = await tableOf(sequences);
    await schema.query(
      `DROP TABLE IF EXISTS texts; CREATE TABLE texts (id INT PRIMARY KEY, text TEXT CHARACTER SET ${charset})`,
    );
    await schema.query(`INSERT IGNORE INTO texts SELECT id, bytes FROM ${table}`);
    const rows = await schema.query(
      `SELECT bytes AS given, CAST(CONVERT(text USING utf8mb4) AS BINARY) AS utf8 FROM texts JOIN ${table} USING (id)
       WHERE CAST(text AS BINARY) = bytes`,
    );
    return rows as unknown as Answer[];
  }

  it('decodes every sequence of bytes that the server stores to what it shows', async () => {
    const sets = await schema.query('SHOW CHARACTER SET');
    const differences: string[] = [];
    let characters = 0;
    for (const { Charset: name, Maxlen: longest } of sets as { Charset: string; Maxlen: number }[]) {
      if (name === 'binary') continue;
      const decode = textDecoder(name)!;
      // MySQL refuses the other bytes, or keeps them and shows nothing; MariaDB shows `?`.
      const bytes = name === 'ascii' && variant === 'mysql' ? single.slice(0, 0x80) : single;
      for (const sequences of asked[name] ?? (longest === 1 ? [bytes] : [single, double])) {
        const answers = await convert(name, sequences);
        expect(answers.length, name).toBeGreaterThan(0);
        for (const { given, utf8: shown } of answers) {
          characters += Array.from(shown.toString()).length;
          if (decode(given) !== shown.toString())
            differences.push(`${name} ${given.subarray(0, 8).toString('hex')}`);
        }
      }
    }
    expect(differences).toEqual([]);
    expect(characters).toBeGreaterThan(leastCharacters[variant]);
  });

  const eastAsian = ['ujis', 'eucjpms', 'sjis', 'cp932', 'big5', 'gbk', 'euckr', 'gb2312'];
  // MariaDB has no gb18030.
  if (variant === 'mysql') eastAsian.push('gb18030');

  it.each(eastAsian)(
    'gives every character of %s to the reader of the log as a query shows it',
    { timeout: 120_000 },
    async (charset) => {
      const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
      const logged = await schema.connect();
      await logged.query(
        `SET SESSION group_concat_max_len = 1000000; DROP TABLE IF EXISTS t;
         CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, text MEDIUMTEXT CHARACTER SET ${charset})`,
      );
      const position = await endOfLog(flavour, schema);
      for (const sequences of asked[charset] ?? [single, double]) {
        await convert(charset, sequences);
        const [each, table] = [sequences === fourBytes ? 1 : 400, await tableOf(sequences)];
        await logged.query(
          `INSERT INTO t (text) SELECT GROUP_CONCAT(text ORDER BY id SEPARATOR '') FROM texts JOIN ${table} USING (id)
           WHERE CAST(text AS BINARY) = bytes GROUP BY id DIV ${each}`,
        );
      }
      const shown = await schema.query(
        'SELECT id, CAST(CONVERT(text USING utf8mb4) AS BINARY) AS utf8 FROM t',
      );
      const stream = await openReader({ flavour, schema, position, watch: { t: ['text'] } });
      const rows = await takeRows(stream, shown.length);
      stream.close();
      const read = new Map(rows.map((row) => [byName(row, 'after')['id'], byName(row, 'after')['text']]));
      const different = shown.filter(({ id, utf8 }) => read.get(id as number) !== String(utf8));
      expect(shown.length).toBeGreaterThan(10);
      expect(different.map(({ id }) => id)).toEqual([]);
    },
  );

  it.each([...eastAsian, 'latin1'])(
    'stops the reader at the TRUNCATE of a client that speaks %s',
    async (charset) => {
      const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
      const table = charset === 'latin1' ? 'citas_año' : 'citas_年表';
      await schema.query(`SET SESSION sql_log_bin = 1; CREATE TABLE \`${table}\` (id INT PRIMARY KEY)`);
      const position = await endOfLog(flavour, schema);
      const [text] = await schema.query(`SELECT CAST(CONVERT(? USING ${charset}) AS BINARY) AS bytes`, [
        `TRUNCATE TABLE \`${table}\` /* ${table} */`,
      ]);
      const raw = createConnection({ uri: schema.url(), charset: 'utf8mb4' });
      await sendRaw(raw, flavour, Buffer.from(`SET character_set_client = ${charset}`));
      await sendRaw(raw, flavour, text!['bytes'] as Buffer);
      raw.destroy();
      const stream = await openReader({ flavour, schema, position, watch: { [table]: ['id'] } });
      await expect(takeRows(stream, 1)).rejects.toMatchObject({
        halt: { reason: 'truncate', table: `${schema.name}.${table}` },
      });
      stream.close();
      await schema.query(`DROP TABLE \`${table}\`; SET SESSION sql_log_bin = 0`);
    },
  );
});

describe('bytes that are not text of their character set', () => {
  it.each([
    // No server converts half a surrogate pair to anything that is UTF-8.
    ['ucs2', 'd800', '\ufffd'],
    ['ucs2', 'd83dde00', '😀'],
    // What no server stores.
    ['utf8mb4', '61ff62', 'a\ufffdb'],
    ['sjis', '6181', 'a?'],
    ['gb18030', '8130', '?0'],
    ['eucjpms', '8fa1', '??'],
    ['ascii', '61ff', 'a?'],
  ])('of %s: %s', (charset, bytes, text) => {
    expect(textDecoder(charset)!(Buffer.from(bytes, 'hex'))).toBe(text);
  });
});
