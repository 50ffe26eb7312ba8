import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HaltError, haltOf } from '../../src/binlog/halt.ts';
import { isAccepted } from '../../src/capture/loop/is-accepted.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { EventTooLarge, requireFit } from '../../src/outbox/append/require-fit.ts';
import { flavours } from '../support/server.ts';
import { claimant, eventOf, openTestStore, type TestStore } from './support.ts';

const megabyte = 2 ** 20;

describe.each(flavours)('an event that is too large for the store on %s', (flavour) => {
  let server: PrivateServer;
  let opened: TestStore;

  beforeAll(async () => {
    server = await startPrivateServer({ flavour });
    opened = await openTestStore(server);
  });
  afterAll(async () => {
    await opened.close();
    await server.stop();
  });

  it('is tried again at the next look, also where a delivery opened a connection after the limit was raised', async () => {
    const { schema, store } = opened;
    const one = claimant(store);
    const limit = (bytes: number) => schema.query(`SET GLOBAL max_allowed_packet = ${bytes}`);
    await limit(megabyte);
    await store.measureStatement();
    const event = { ...eventOf('large'), body: JSON.stringify('x'.repeat(2 * megabyte)) };
    const fault = await requireFit(one, [event]).then(
      () => undefined,
      (error: unknown) => error as EventTooLarge,
    );
    expect(fault).toBeInstanceOf(EventTooLarge);
    const halted = new HaltError(haltOf(fault!, { gtid: null, file: 'binlog.000001', offset: 4 }), fault);

    let looks = 0;
    const isHalted = () => (looks += 1) <= 1;
    const options = { claimant: one, epoch: 0, signal: new AbortController().signal, halted };
    expect(await isAccepted(options, isHalted)).toBe(false);
    expect(looks).toBe(2);

    await limit(64 * megabyte);
    // As a delivery does that opens a connection: the newest one has the new limit.
    expect(await store.measureStatement()).toBeGreaterThan(fault!.bytes);
    looks = 0;
    expect(await isAccepted(options, isHalted)).toBe(false);
    expect(looks).toBe(1);
  });
});
