import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import type { Flavour, ServerVariant } from '../../src/demo/server-binaries.ts';
import { createSchema, sharedServer, type SharedServer, type TestSchema } from '../support/server.ts';

/** A way in which a server keeps its log. */
export interface Mode {
  name: string;
  variant: ServerVariant;
  flavour: Flavour;
  /** Whether a position is a set of GTIDs, or a file and an offset alone. */
  gtid: boolean;
  settings: string[];
}

/** MySQL's own default. */
const withoutGtid: Mode = {
  name: 'MySQL with GTIDs off',
  variant: 'mysql',
  flavour: 'mysql',
  gtid: false,
  settings: ['gtid-mode=OFF', 'enforce-gtid-consistency=OFF'],
};

/** For `describe.each(modes)`: what is promised of reading is promised in all of them. */
export const modes: readonly Mode[] = [
  { name: 'MySQL', variant: 'mysql', flavour: 'mysql', gtid: true, settings: [] },
  withoutGtid,
  { name: 'MariaDB', variant: 'mariadb', flavour: 'mariadb', gtid: true, settings: [] },
  { name: 'MariaDB 11.8', variant: 'mariadb-11.8', flavour: 'mariadb', gtid: true, settings: [] },
];

/** A server of its own in a mode, with a schema that holds the watched table `t`. */
export async function startMode(mode: Mode): Promise<{ server: PrivateServer; schema: TestSchema }> {
  const server = await startPrivateServer({ flavour: mode.variant, settings: mode.settings });
  const schema = await createSchema(
    server,
    'CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, text LONGTEXT)',
  );
  return { server, schema };
}

/** A server in a mode for what neither ends it nor changes its settings: the shared one where that is in this mode. */
export async function borrowServer(mode: Mode): Promise<{ server: SharedServer; giveBack(): Promise<void> }> {
  if (mode.settings.length === 0)
    return { server: sharedServer(mode.variant), giveBack: () => Promise.resolve() };
  const server = await startPrivateServer({ flavour: mode.variant, settings: mode.settings });
  return { server, giveBack: () => server.stop() };
}
