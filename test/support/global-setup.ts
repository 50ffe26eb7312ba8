import type { TestProject } from 'vitest/node';
import { startPrivateServer, type PrivateServer } from '../../src/cli/demo/private-server.ts';
import type { Flavour } from '../../src/cli/demo/server-binaries.ts';

/** What a test needs to know of a server that all test files share. */
export interface SharedServer {
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
  }
}

const shared = (server: PrivateServer): SharedServer => {
  const { flavour, version, host, port, url } = server;
  return { flavour, version, host, port, url };
};

/** One MySQL and one MariaDB for the whole run. One that cannot be had fails the run with how to get it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const starts = await Promise.allSettled([
    startPrivateServer({ flavour: 'mysql' }),
    startPrivateServer({ flavour: 'mariadb' }),
  ]);
  const teardown = async () => {
    const started = starts.filter((start) => start.status === 'fulfilled');
    await Promise.all(started.map((start) => start.value.stop()));
  };
  const [mysql, mariadb] = starts;
  if (mysql.status === 'rejected' || mariadb.status === 'rejected') {
    await teardown();
    throw mysql.status === 'rejected' ? mysql.reason : (mariadb as PromiseRejectedResult).reason;
  }
  project.provide('mysql', shared(mysql.value));
  project.provide('mariadb', shared(mariadb.value));
  return teardown;
}
