import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { openReader } from '../support/read-log.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** While a failover is under way, one address leads to two servers: by connections that are open, and by new ones. */
describe.each(servers)('an address that leads to another server than before, on %s', (variant) => {
  const { flavour } = sharedServer(variant);
  const other = sharedServer(variant === 'mysql' ? 'mariadb' : 'mysql');
  let schema: TestSchema;
  let proxy: TcpProxy;
  let source: Source;
  let url: string;

  beforeAll(async () => {
    schema = await createSchema(sharedServer(variant), 'CREATE TABLE t (id INT PRIMARY KEY)');
    proxy = await startTcpProxy(sharedServer(variant));
    url = proxy.through(schema.url());
    source = openSource(parseDatabaseUrl(`${proxy.through(sharedServer(variant).url)}/`));
  });
  afterAll(async () => {
    await source.close();
    await proxy.stop();
    await schema.drop();
  });

  it('is answered by the new one from a renewal on', async () => {
    expect((await source.identify()).flavour).toBe(flavour);
    proxy.pointTo(other);
    source.renew();
    const { serverUuid } = await source.identify();
    proxy.pointTo(sharedServer(variant));
    const direct = openSource(parseDatabaseUrl(`${other.url}/`));
    expect(serverUuid).toBe((await direct.identify()).serverUuid);
    await direct.close();
  });

  it('is not read: the position was proved on the one before', async () => {
    source.renew();
    const { serverUuid } = await source.identify();
    const watch = { t: ['id'] };
    const stream = await openReader({ flavour, schema, watch, url, serverUuid });
    stream.close();
    await expect(
      openReader({ flavour, schema, watch, url, serverUuid: `${serverUuid}0` }),
    ).rejects.toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE', retryable: true });
  });
});
