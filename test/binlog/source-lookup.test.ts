import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDictionary, type Dictionary } from '../../src/binlog/source/dictionary.ts';
import { createLookUp, readRowByKey } from '../../src/binlog/source/source-lookup.ts';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { createSchema, createUser, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

describe.each(servers)('look-ups on %s', (variant) => {
  const server = sharedServer(variant);
  let schema: TestSchema;
  let source: Source;
  let dictionary: Dictionary;

  /** The source, with the statements that go through it. */
  function counted(): { source: Source; asked: string[] } {
    const asked: string[] = [];
    const query: Source['query'] = (sql, values) => {
      asked.push(sql);
      return source.query(sql, values);
    };
    return { source: { ...source, query }, asked };
  }

  beforeAll(async () => {
    schema = await createSchema(
      server,
      `CREATE TABLE Parents (id BIGINT UNSIGNED PRIMARY KEY, Name VARCHAR(40), weight FLOAT, made TIMESTAMP NULL);
      INSERT INTO Parents VALUES (1, 'Ana', 0.1, '2026-01-01 00:00:00'), (9007199254740993, 'Bea', 16777216, NULL),
        (9007199254740992, 'Neighbour', 1, NULL);
      CREATE TABLE children (b INT, a INT, parent_id INT, label VARCHAR(10), PRIMARY KEY (b, a));
      INSERT INTO children VALUES (2, 1, 1, 'third'), (1, 2, 1, 'second'), (1, 1, 1, 'first'), (3, 1, 2, 'other');
      CREATE TABLE many (id INT AUTO_INCREMENT PRIMARY KEY, kind INT);
      INSERT INTO many (kind) SELECT 1 FROM information_schema.columns a, information_schema.columns b LIMIT 10001`,
    );
    source = openSource(parseDatabaseUrl(schema.url()));
    dictionary = await readDictionary(source, await source.identify());
  });

  afterAll(async () => {
    await source.close();
    await schema.drop();
  });

  it('finds a parent, whatever the letter case of the names, and a column that is not there as null', async () => {
    const lookUp = createLookUp(source, dictionary);
    expect(
      await lookUp({
        table: 'parents',
        by: { ID: 1 },
        select: ['name', 'WEIGHT', 'made', 'nickname'],
        many: false,
      }),
    ).toEqual([{ name: 'Ana', weight: 0.1, made: '2026-01-01 00:00:00', nickname: null }]);
  });

  it('tells keys past 2^53 apart, and reads a FLOAT with all its digits', async () => {
    const lookUp = createLookUp(source, dictionary);
    const question = { table: 'Parents', select: ['name', 'weight'], many: false };
    expect(await lookUp({ ...question, by: { id: '9007199254740993' } })).toEqual([
      { name: 'Bea', weight: 16777216 },
    ]);
    expect(await lookUp({ ...question, by: { id: '9007199254740992' } })).toEqual([
      { name: 'Neighbour', weight: 1 },
    ]);
  });

  it('finds children in the order of their primary key', async () => {
    const lookUp = createLookUp(source, dictionary);
    const rows = await lookUp({ table: 'children', by: { parent_id: 1 }, select: ['label'], many: true });
    expect(rows.map((row) => row['label'])).toEqual(['first', 'second', 'third']);
  });

  it('finds nothing in a table or by a column that is not there, and by no column at all', async () => {
    const lookUp = createLookUp(source, dictionary);
    expect(await lookUp({ table: 'absent', by: { id: 1 }, select: ['x'], many: true })).toEqual([]);
    expect(await lookUp({ table: 'children', by: { absent: 1 }, select: ['label'], many: true })).toEqual([]);
    expect(await lookUp({ table: 'children', by: {}, select: ['label'], many: true })).toEqual([]);
  });

  it('treats a value as a value', async () => {
    const lookUp = createLookUp(source, dictionary);
    const by = { name: "x' OR '1'='1" };
    expect(await lookUp({ table: 'Parents', by, select: ['id'], many: true })).toEqual([]);
    expect(await lookUp({ table: 'Parents', by: { name: '\\' }, select: ['id'], many: true })).toEqual([]);
  });

  it('refuses to gather more children than a payload can hold', async () => {
    const lookUp = createLookUp(source, dictionary);
    await expect(
      lookUp({ table: 'many', by: { kind: 1 }, select: ['id'], many: true }),
    ).rejects.toMatchObject({
      code: 'ERR_RULES',
    });
  });

  it('asks the same question of a batch once, and again in the next batch', async () => {
    const { source: observed, asked } = counted();
    const question = { table: 'Parents', by: { id: 1 }, select: ['name'], many: false };
    const batch = createLookUp(observed, dictionary);
    await Promise.all([batch(question), batch(question), batch({ ...question, by: { id: '1' } })]);
    await batch(question);
    expect(asked).toHaveLength(2);
    await createLookUp(observed, dictionary)(question);
    expect(asked).toHaveLength(3);
  });

  it('forgets the oldest answer when it holds too many', async () => {
    const { source: observed, asked } = counted();
    const lookUp = createLookUp(observed, dictionary, { maxEntries: 2 });
    for (const id of [1, 2, 3, 3, 1])
      await lookUp({ table: 'Parents', by: { id }, select: ['name'], many: false });
    expect(asked).toHaveLength(4);
  });

  it('says which grant is missing, without the value that was looked for', async () => {
    const user = await createUser(server, [`SELECT ON \`${schema.name}\`.Parents`]);
    const theirs = openSource(parseDatabaseUrl(schema.url(user)));
    const lookUp = createLookUp(theirs, dictionary);
    const error: unknown = await lookUp({
      table: 'children',
      by: { label: 'Ana María' },
      select: ['a'],
      many: true,
    }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'ERR_SOURCE_ACCESS',
      remedy: `GRANT SELECT ON \`${schema.name}\`.\`children\` TO '${user.user}'@'%';`,
    });
    expect(String(error)).not.toContain('Ana');
    await theirs.close();
    await user.drop();
  });

  it('reads a changed row again only when the transaction that changed it is visible, with no more than SELECT', async () => {
    const user = await createUser(server, [`SELECT ON \`${schema.name}\`.children`]);
    const theirs = openSource(parseDatabaseUrl(schema.url(user)));
    const children = dictionary.tables.get('children')!;
    const writer = await schema.connect();
    await writer.query("START TRANSACTION; UPDATE children SET label = 'new' WHERE b = 3");
    const reading = readRowByKey(theirs, children, { key: { b: 3, a: 1 }, select: ['label'] });
    await waitFor(
      async () => {
        const sessions = await schema.sessions();
        return sessions.some(
          (session) => session.user === user.user && session.info?.endsWith('LOCK IN SHARE MODE') === true,
        );
      },
      { what: 'the reader to wait', timeoutMs: 1_500, everyMs: 5 },
    );
    await writer.query('COMMIT');
    expect(await reading).toEqual({ label: 'new' });
    expect(await readRowByKey(theirs, children, { key: { b: 9, a: 9 }, select: ['label'] })).toBeNull();
    await theirs.close();
    await user.drop();
  });

  it('reads no row again by a key that identifies one no more', async () => {
    const [children, many] = [dictionary.tables.get('children')!, dictionary.tables.get('many')!];
    expect(await readRowByKey(source, children, { key: { b: 3 }, select: ['label'] })).toBeNull();
    // As if `kind` had been its unique key when the row was logged.
    const keyless = { ...many, key: [] };
    expect(await readRowByKey(source, keyless, { key: { kind: 1 }, select: ['id'] })).toBeNull();
    expect(await readRowByKey(source, keyless, { key: { id: 1 }, select: ['kind'] })).toEqual({ kind: 1 });
  });

  it('reads the committed row when another session holds its lock for long', async () => {
    const children = dictionary.tables.get('children')!;
    const writer = await schema.connect();
    await writer.query("START TRANSACTION; UPDATE children SET label = 'later' WHERE b = 2");
    expect(await readRowByKey(source, children, { key: { b: 2, a: 1 }, select: ['label'] })).toEqual({
      label: 'third',
    });
    await writer.query('ROLLBACK');
  });
});
