import type { TestProject } from 'vitest/node';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { serverVariants, type Flavour } from '../../src/demo/server-binaries.ts';

/** The data about a server that all test files share. */
export interface SharedServer {
  /**
   * Absent for a private server. Other tests use a shared server at the same time, so `createSchema` refuses to set its global
   * variables.
   */
  shared?: true;
  flavour: Flavour;
  version: string;
  host: string;
  port: number;
  /** URL for root, without a password and without a schema. */
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

/** Starts one server of each variant for the whole run. If one does not start, the run fails with its error, which says how to get it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const starts = await Promise.allSettled(
    serverVariants.map(async (variant) => ({
      variant,
      // The preflight requires it: MariaDB's default is 0.
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
