import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { registerProcess, countAlive, expireOrphans, extendAlive } from '../../src/outbox/queue/heartbeat.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { openTestStore, type TestStore } from '../outbox/support.ts';
import { createUser, servers, sharedServer, type TestUser } from '../support/server.ts';

/** What the sessions of the store leave out of the binlog, where the account may choose that. */
describe.each(servers)('sessions of the store on %s', (variant) => {
  let test: TestStore;
  let user: TestUser & { drop(): Promise<void> };

  beforeAll(async () => {
    test = await openTestStore(variant);
    user = await createUser(sharedServer(variant), [`ALL ON \`${test.schema.name}\`.*`]);
  });
  afterAll(async () => {
    await user.drop();
    await test.close();
  });

  const rowImage = async (store: Store): Promise<unknown> =>
    (await store.rows<{ image: string }>('SELECT @@SESSION.binlog_row_image AS image'))[0]?.image;

  it('log the columns that an UPDATE changes, and work where the account may not choose', async () => {
    expect(await rowImage(test.store)).toBe('MINIMAL');
    const store = openStore(parseDatabaseUrl(test.schema.url(user)), { connections: 1 });
    expect(['MINIMAL', 'FULL']).toContain(await rowImage(store));
    expect(
      (await store.run('UPDATE checkpoint SET updated_at = UTC_TIMESTAMP(3) WHERE id = 1')).affectedRows,
    ).toBe(1);
    await store.close();
  });

  it('say once that a process lives, where its lease was renewed just before', async () => {
    const { store } = test;
    const expiry = () =>
      store.rows<{ at: string }>('SELECT CAST(expires_at AS CHAR) AS at FROM leases WHERE name = ?', ['me']);
    await registerProcess({ store, owner: 'me' });
    const first = await expiry();
    await registerProcess({ store, owner: 'me' }, { unlessWithinMs: 60_000 });
    expect(await expiry()).toEqual(first);
    await store.run('UPDATE leases SET expires_at = expires_at - INTERVAL 1 MINUTE WHERE name = ?', ['me']);
    await registerProcess({ store, owner: 'me' }, { unlessWithinMs: 1_500 });
    expect((await expiry())[0]!.at >= first[0]!.at).toBe(true);
  });

  it('let a process live by its lease to capture, and by no other', async () => {
    const { store } = test;
    await store.run('DELETE FROM leases');
    const lease = (name: string, holder: string, age: string) =>
      store.run(
        `INSERT INTO leases (name, holder, token, expires_at) VALUES (?, ?, 1, UTC_TIMESTAMP(3) + INTERVAL ${age})`,
        [name, holder],
      );
    await lease('capture', 'a', '6 SECOND');
    await lease('a', 'a', '-2 HOUR');
    await lease('maintenance', 'b', '6 SECOND');
    await lease('b', 'b', '-2 HOUR');
    expect(await countAlive(store)).toEqual({ running: 1, capturing: true });
    await expireOrphans({ store, claimMs: 60_000 });
    // What a process that captures falls back on when it gives the lease up.
    const names = await store.rows<{ name: string }>('SELECT name FROM leases ORDER BY name');
    expect(names.map(({ name }) => name)).toEqual(['a', 'capture', 'maintenance']);
    await extendAlive({ store, owner: 'a' });
    await extendAlive({ store, owner: 'b' });
    await store.run("DELETE FROM leases WHERE name = 'capture'");
    expect(await countAlive(store)).toEqual({ running: 1, capturing: false });
  });

  it('write only to tables with a primary key, by which a replica finds the row', async () => {
    const without = await test.schema.query(
      `SELECT t.table_name AS name FROM information_schema.tables t WHERE t.table_schema = ? AND t.table_type = 'BASE TABLE'
         AND NOT EXISTS (SELECT 1 FROM information_schema.table_constraints c WHERE c.table_schema = t.table_schema
           AND c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY')`,
      [test.schema.name],
    );
    expect(without).toEqual([]);
  });
});
