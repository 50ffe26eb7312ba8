import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import { formatError } from '../../src/cli/terminal/output.ts';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { eq } from '../../src/db/schema/drizzle.ts';
import { webhooks } from '../../src/db/schema/schema.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { codeOf, messageOf } from '../../src/lib/errors.ts';
import { createLog } from '../../src/lib/log.ts';
import { FailureLog } from '../../src/lib/loop/failure-log.ts';
import { openTestStore, type TestStore } from '../outbox/support.ts';
import { servers } from '../support/server.ts';

/** Is in a value of each failing statement. */
const secret = 'Peña-8412';

/** Statements whose refusal quotes a value, in the words of both servers. */
const statements: readonly (readonly [string, string])[] = [
  [
    'a duplicate key',
    `INSERT INTO leases (name, holder, token, expires_at) VALUES ('x${secret.slice(5)}', 'h', 1, UTC_TIMESTAMP()), ('x${secret.slice(5)}', '${secret}', 1, UTC_TIMESTAMP())`,
  ],
  ['a wrong number', `INSERT INTO kept_payloads VALUES ('${secret}')`],
  ['a wrong date', `UPDATE checkpoint SET halted_at = '${secret}'`],
  ['a value that is too long', `UPDATE checkpoint SET lineage = CONCAT('${secret}', REPEAT('x', 300))`],
  [
    'a value outside an ENUM',
    `INSERT INTO queue (delivery_id, webhook_id, event_seq, state) VALUES (1, 1, 1, '${secret}')`,
  ],
  ['invalid JSON', `UPDATE checkpoint SET halt = '{"${secret}'`],
  ['a syntax error', `SELECT '${secret}' FORM dual`],
  ['a missing column', `SELECT \`${secret}\` FROM checkpoint`],
  ['a missing table', `SELECT 1 FROM \`${secret}\``],
  ['a wrong date of a cast', `UPDATE checkpoint SET halted_at = CAST('${secret}' AS DATETIME)`],
];

describe.each(servers)('a refused statement on %s', (variant) => {
  let test: TestStore;
  let store: Store;
  let source: Source;

  beforeAll(async () => {
    test = await openTestStore(variant);
    const url = parseDatabaseUrl(test.schema.url());
    store = openStore(url, { connections: 2 });
    source = openSource(url);
  });
  afterAll(async () => {
    await source.close();
    await store.close();
    await test.close();
  });

  async function failureOf(work: Promise<unknown>): Promise<unknown> {
    return work.then(
      () => {
        throw new Error('it passed');
      },
      (error: unknown) => error,
    );
  }

  /** All that a log line, an error message, a stack or a crash could show. */
  function shown(error: unknown): string {
    const lines: string[] = [];
    new FailureLog(createLog('debug', { write: (line) => lines.push(line) })).part('failed').onError(error);
    process.env['LOG_LEVEL'] = 'debug';
    const printed = formatError(error);
    delete process.env['LOG_LEVEL'];
    return [...lines, messageOf(error), printed].join('\n');
  }

  it.each(statements)('shows no value of it: %s', async (_name, sql) => {
    const ways: Record<string, () => Promise<unknown>> = {
      run: () => store.run(sql),
      rows: () => store.rows(sql.replaceAll(`'${secret}'`, '?'), sql.includes(`'${secret}'`) ? [secret] : []),
      script: () => store.script(['DO 0', sql]),
      commit: () => store.commit([sql]),
      transaction: () => store.transaction((tx) => tx.run(sql)),
    };
    for (const [way, work] of Object.entries(ways)) {
      const error = await failureOf(work());
      expect([way, shown(error) + inspect(error, { depth: 9 })]).toEqual([
        way,
        expect.not.stringContaining(secret.slice(5)) as string,
      ]);
      expect([way, shown(error)]).toEqual([way, expect.stringMatching(/error (\w+ )?\d+/) as string]);
    }
  });

  it('shows no secret of a webhook: through Drizzle, in a transaction and outside', async () => {
    const long = { secret: secret.repeat(200) };
    const update = (session: Pick<Store, 'drizzle'>) =>
      session.drizzle.update(webhooks).set(long).where(eq(webhooks.id, 1));
    await test.schema.query(
      "INSERT INTO webhooks (id, name, url, events, secret) VALUES (1, 'a', 'https://a.example', '[\"*\"]', 's')",
    );
    const within = await failureOf(store.transaction((tx) => update(tx).then()));
    const outside = await failureOf(update(store).then());
    for (const error of [within, outside]) {
      expect(shown(error)).not.toContain(secret);
      expect(codeOf(error)).toBe('ER_DATA_TOO_LONG');
    }
    expect(inspect(within, { depth: 9 })).not.toContain(secret);
  });

  it('shows no value of a question to the source', async () => {
    for (const [sql, values] of [
      [`SELECT '${secret}' FORM dual`, []],
      ['SELECT EXTRACTVALUE(?, ?)', ['<a>', `//${secret}[`]],
      ['SELECT * FROM checkpoint WHERE `' + secret + '` = ?', [secret]],
    ] as const) {
      const error = await failureOf(source.query(sql, values));
      expect(shown(error) + inspect(error, { depth: 9 })).not.toContain(secret.slice(5));
    }
  });
});
