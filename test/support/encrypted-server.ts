import { randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fetchDebianPackages } from '../../src/demo/debian-packages.ts';
import { exists, withFileLock } from '../../src/demo/file-lock.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import {
  resolveServerBinary,
  type ServerBinary,
  type ServerVariant,
} from '../../src/demo/server-binaries.ts';

/** A server that encrypts its binlog; its `stop` also removes the keys. */
export async function startEncryptedServer(variant: ServerVariant): Promise<PrivateServer> {
  const binary = await resolveServerBinary(variant);
  const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
  const server = await (binary.flavour === 'mysql'
    ? startMysql(binary, folder)
    : startMariadb({ binary, variant, folder }));
  return {
    ...server,
    get pid() {
      return server.pid;
    },
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

/** MySQL reads the list of its components beside its program, and their settings beside the plug-ins: both get their own folders. */
async function startMysql(binary: ServerBinary, folder: string): Promise<PrivateServer> {
  const program = join(folder, 'mysqld');
  const original = binary.command.at(-1)!;
  // A hard link if the file system allows it, because the program has 70 MB.
  await link(original, program).catch(() => copyFile(original, program));
  const component = 'component_keyring_file';
  const plugins = binary.options.find((option) => option.startsWith('--plugin-dir='))?.split('=')[1];
  const from = plugins ?? join(dirname(dirname(original)), 'lib', 'mysql', 'plugin');
  await symlink(join(from, `${component}.so`), join(folder, `${component}.so`));
  await writeFile(`${program}.my`, JSON.stringify({ components: `file://${component}` }));
  await writeFile(
    join(folder, `${component}.cnf`),
    JSON.stringify({ path: join(folder, 'keyring'), read_only: false }),
  );
  const command = [...binary.command.slice(0, -1), program] as unknown as ServerBinary['command'];
  return startPrivateServer({
    flavour: 'mysql',
    binary: { ...binary, command },
    settings: [`plugin-dir=${folder}`, 'binlog-encryption=ON'],
  });
}

async function startMariadb({
  binary,
  variant,
  folder,
}: {
  binary: ServerBinary;
  variant: ServerVariant;
  folder: string;
}): Promise<PrivateServer> {
  const keys = join(folder, 'keys');
  await writeFile(keys, `1;${randomBytes(32).toString('hex')}\n`);
  const fetched = binary.options.length > 0;
  return startPrivateServer({
    flavour: variant,
    settings: [
      ...(fetched ? [`plugin-dir=${await fetchPlugins(binary, variant)}`] : []),
      'plugin-load-add=file_key_management',
      `file-key-management-filename=${keys}`,
      'encrypt-binlog=ON',
    ],
  });
}

/** MariaDB's plug-ins are in a separate Debian package (3.7 MB); they are kept beside the server. */
async function fetchPlugins({ templateDir }: ServerBinary, variant: ServerVariant): Promise<string> {
  const dir = `${templateDir}-plugins`;
  await withFileLock(`${dir}.lock`, async () => {
    if (await exists(dir)) return;
    const scratch = await mkdtemp(join(dirname(dir), `${basename(dir)}.part-`));
    try {
      await mkdir(scratch, { recursive: true });
      const suite = variant === 'mariadb' ? 'bookworm' : 'trixie';
      const root = await fetchDebianPackages({
        packageName: 'mariadb-server',
        isAlone: true,
        suite,
        intoDir: scratch,
        env: process.env,
        signal: undefined,
      });
      await rename(join(root, 'usr', 'lib', 'mysql', 'plugin'), dir);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
  return dir;
}
