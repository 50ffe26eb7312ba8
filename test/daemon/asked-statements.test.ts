import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modes } from '../binlog/modes.ts';
import { createSchema, type TestSchema } from '../support/server.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

/*
 * Commands that read the log to its present end, over statements about which the dictionary is asked: the server has closed the
 * connection by the time of the answer.
 */

const asStatement = (statement: string): string =>
  `SET SESSION binlog_format = 'STATEMENT'; ${statement}; SET SESSION binlog_format = 'ROW'`;

describe.each(modes)('statements that need a proof, on $name', { timeout: 180_000 }, (mode) => {
  let clinic: HaltingClinic;
  let views: TestSchema;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode);
    views = await createSchema(
      clinic.server,
      `CREATE VIEW v AS SELECT * FROM ${clinic.schema.name}.items; CREATE TABLE free (id INT)`,
    );
    await clinic.schema.query('CREATE TABLE unwatched (id INT)');
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('first');
    await clinic.untilDelivered('first');
  });
  afterAll(async () => {
    await views.drop();
    await clinic.close();
  });

  const unprovable = (): string => asStatement(`UPDATE ${views.name}.v SET label = 'unseen' WHERE id = 1`);
  const harmless = (): string =>
    `${asStatement('INSERT INTO unwatched VALUES (1)')}; ${asStatement(`INSERT INTO ${views.name}.free VALUES (1)`)}`;
  const insert = (name: string): string => `INSERT INTO items (name) VALUES ('${name}')`;

  async function readJson(...args: string[]): Promise<Record<string, unknown>> {
    const { stdout, stderr } = await clinic.cli(...args, '--json');
    expect(stderr).toBe('');
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  const reasonsOf = (halts: unknown): unknown[] => [
    ...new Set((halts as { reason: string }[]).map(({ reason }) => reason)),
  ];

  it.each([
    { name: 'an unprovable one last', log: () => [insert('a'), unprovable()], row: 'a' },
    { name: 'an unprovable one in the middle', log: () => [unprovable(), insert('b')], row: 'b' },
    { name: 'a harmless one last', log: () => [unprovable(), insert('c'), harmless()], row: 'c' },
  ])('reads the log to its end: $name', async ({ log, row }) => {
    await clinic.stop();
    await clinic.schema.query(log().join('; '));
    await clinic.start();
    await clinic.untilHalted('statement-format');

    const rules = join(dirname(clinic.configFile), 'rules.yaml');
    const dryRun = await readJson('events', 'test', '--since', '10m', '--rules', rules);
    expect(reasonsOf(dryRun['halts'])).toEqual(['statement-format']);
    const { decode } = await readJson('check', '--decode', '--since', '10m');
    expect(decode).toMatchObject({ stopped_by: 'end', differences: [] });
    expect(reasonsOf((decode as { unreadable: unknown }).unreadable)).toEqual(['statement-format']);

    const resume = ['resume', '--accept-gap', '--until', 'now', '--reason', 'a view', '--yes'];
    expect(await clinic.cli(...resume)).toMatchObject({ code: 0 });
    await clinic.untilReady();
    await clinic.untilDelivered(row);
    expect((await clinic.lastAct()).details).toMatchObject({ reasons: { 'statement-format': 1 } });
  });
});
