import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { modes } from '../binlog/modes.ts';
import { waitFor } from '../support/wait-for.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

const rules = `
events:
  item.created: { table: items, on: insert, data: { name: name, doc: doc } }
`;
const megabyte = 2 ** 20;
const withGtid = modes.filter(({ gtid }) => gtid);

describe.each(withGtid)('a store on $name with a small max_allowed_packet', { timeout: 180_000 }, (mode) => {
  let clinic: HaltingClinic | undefined;

  afterEach(async () => {
    await clinic?.close();
    clinic = undefined;
  });

  async function open(packetBytes: number): Promise<HaltingClinic> {
    clinic = await startHaltingClinic(mode, rules);
    await clinic.start();
    await clinic.untilReady();
    // The application's sessions keep theirs: only new sessions have the small one.
    await clinic.schema.query(`SET GLOBAL max_allowed_packet = ${packetBytes}`);
    await clinic.stop();
    await clinic.start();
    return clinic;
  }

  const countEvents = async ({ schema, storeName }: HaltingClinic): Promise<unknown> =>
    (await schema.query(`SELECT COUNT(*) AS n FROM ${storeName}.event_log WHERE type = 'item.created'`))[0]?.[
      'n'
    ];

  it.each([megabyte, 4 * megabyte])(
    'of %i bytes takes a transaction of 3,000 rows of 2 KB',
    async (packetBytes) => {
      const { schema, receiver, ...rest } = await open(packetBytes);
      const note = `'${'ñ"\\\\'.repeat(400)}'`;
      const rows = Array.from({ length: 3_000 }, (_, n) => `('n${n}', JSON_QUOTE(${note}))`);
      await schema.query(`INSERT INTO items (name, doc) VALUES ${rows.join(',')}`);
      await waitFor(async () => (await countEvents({ schema, receiver, ...rest })) === 3_000, {
        timeoutMs: 60_000,
        what: 'all events to be stored',
      });
      await waitFor(() => receiver.received.length >= 500, {
        timeoutMs: 60_000,
        what: 'the first deliveries',
      });
      expect(receiver.received.every(({ verified }) => verified)).toBe(true);
    },
  );

  it('halts before an event that it cannot hold, and continues by each remedy that it prints', async () => {
    const opened = await open(megabyte);
    const { schema, storeName, untilHalted, untilDelivered } = opened;
    const large = `JSON_QUOTE('${randomBytes(megabyte / 2 + 30_000).toString('hex')}')`;
    await schema.query(
      `INSERT INTO items (name, doc) VALUES ('before', '1'); INSERT INTO items (name, doc) VALUES ('large', ${large}); INSERT INTO items (name, doc) VALUES ('after', '1')`,
    );
    await untilHalted('event-too-large');
    await untilDelivered('before');
    const [row] = await schema.query(`SELECT halt FROM ${storeName}.checkpoint`);
    const halt = row!['halt'] as { message: string; remedy: string; table: string; transactionId: string };
    expect(halt).toMatchObject({ table: 'items', transactionId: expect.any(String) as string });
    expect(halt.message).toContain('max_allowed_packet');

    const [raise] = /^SET GLOBAL max_allowed_packet = \d+;/m.exec(halt.remedy)!;
    await schema.query(raise);
    // It is tried again every 30 s.
    await waitFor(() => opened.delivered().length === 3, { timeoutMs: 60_000, what: 'capture to continue' });
    await untilDelivered('before', 'large', 'after');
    await opened.untilReady();

    await schema.query(`SET GLOBAL max_allowed_packet = ${megabyte}`);
    await opened.stop();
    await opened.start();
    await schema.query(
      `INSERT INTO items (name, doc) VALUES ('too large', ${large}); INSERT INTO items (name, doc) VALUES ('behind', '1')`,
    );
    await untilHalted('event-too-large');
    expect(halt.remedy).toContain('resume --accept-gap --reason');
    expect(await opened.cli('resume', '--accept-gap', '--reason', 'too large', '--yes')).toMatchObject({
      code: 0,
    });
    await untilDelivered('before', 'large', 'after', 'behind');
  });
});
