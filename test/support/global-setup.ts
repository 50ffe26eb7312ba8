import type { TestProject } from 'vitest/node';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { serverVariants, type Flavour } from '../../src/demo/server-binaries.ts';

/** What a test needs to know of a server that all test files share. */
export interface SharedServer {
  /** Not of a private server. Other tests run on it at the same time, so `createSchema` refuses to set its global variables. */
  shared?: true;
  flavour: Flavour;
  version: string;
  host: string;
  port: number;
  /** Root's, without a password and a schema. */
  url: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    mysql: SharedServer;
    mariadb: SharedServer;
    'mariadb-11.8': SharedServer;
  }
}

const shared = (server: PrivateServer): SharedServer => {
  const { flavour, version, host, port, url } = server;
  return { shared: true, flavour, version, host, port, url };
};

/** One server of each variant for the whole run. If one does not start, the run fails and says how to get it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const starts = await Promise.allSettled(
    serverVariants.map(async (variant) => ({
      variant,
      // As the preflight wants it: MariaDB's default is 0.
      server: await startPrivateServer({ flavour: variant, settings: ['sync_binlog=1'] }),
    })),
  );
  const started = starts.filter((start) => start.status === 'fulfilled').map(({ value }) => value);
  const teardown = async () => {
    await Promise.all(started.map(({ server }) => server.stop()));
  };
  const failed = starts.find((start) => start.status === 'rejected');
  if (failed) {
    await teardown();
    throw failed.reason;
  }
  for (const { variant, server } of started) project.provide(variant, shared(server));
  return teardown;
}
