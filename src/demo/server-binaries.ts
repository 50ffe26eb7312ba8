import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { AppError } from '../lib/errors.ts';
import { fetchDebianPackages } from './debian-packages.ts';
import { exists, removeUnfinished, withFileLock } from './file-lock.ts';

const run = promisify(execFile);

export type Flavour = 'mysql' | 'mariadb';
/**
 * The servers that can be started. A suitable server on PATH is used first; otherwise `mysql` is fetched as 9.7, `mariadb` as 10.11.
 */
export const serverVariants = ['mysql', 'mariadb', 'mariadb-11.8'] as const;
export type ServerVariant = (typeof serverVariants)[number];

/** A server program that can be started: its location, and the options that point it to its own files. */
export interface ServerBinary {
  flavour: Flavour;
  /** `9.7.4`, `10.11.18`. */
  version: string;
  /** The program and the arguments that precede the options. */
  command: readonly [string, ...string[]];
  /** Options that point a relocated server to its messages, character sets and plug-ins. */
  options: readonly string[];
  /** Contains error messages and, for MariaDB, the SQL that creates the system tables. */
  shareDir: string;
  /** The initialised data directory that is kept for the next start. */
  templateDir: string;
}

export interface ResolveOptions {
  env?: NodeJS.ProcessEnv;
  /** Called once before the download begins. */
  onProgress?: (message: string) => void;
  /** Aborts the download, and throws its reason. */
  signal?: AbortSignal;
}

interface VariantSource {
  flavour: Flavour;
  programs: readonly string[];
  /** The required answer of a program on PATH to `--version`. */
  accepts: RegExp;
  packageName: string;
  suite: string;
  size: string;
}

const variants: Readonly<Record<ServerVariant, VariantSource>> = {
  mysql: {
    flavour: 'mysql',
    programs: ['mysqld'],
    accepts: /Ver (8|9|\d\d)\./,
    packageName: 'mysql-server-core',
    suite: 'sid',
    size: '71 MB',
  },
  mariadb: {
    flavour: 'mariadb',
    programs: ['mariadbd', 'mysqld'],
    accepts: /Ver (10\.(6|11)|1[1-9])\./,
    packageName: 'mariadb-server-core',
    suite: 'bookworm',
    size: '24 MB',
  },
  'mariadb-11.8': {
    flavour: 'mariadb',
    programs: ['mariadbd', 'mysqld'],
    accepts: /Ver 11\.8\./,
    packageName: 'mariadb-server-core',
    suite: 'trixie',
    size: '25 MB',
  },
};

/**
 * Finds a server program: on PATH, otherwise in the cache, otherwise fetched once from the machine's Debian mirror.
 * Throws ERR_SERVER_BINARY with instructions for getting one.
 */
export async function resolveServerBinary(
  variant: ServerVariant,
  options: ResolveOptions = {},
): Promise<ServerBinary> {
  const { env = process.env, onProgress, signal } = options;
  const source = variants[variant];
  const cache = await serverCacheDir(env);
  const found = await findOnPath(source, { env, cache });
  if (found) return found;
  const dir = join(cache, `${source.flavour}-${source.suite}`);
  if (!(await exists(dir))) {
    await withFileLock(`${dir}.lock`, async () => {
      if (await exists(dir)) return;
      onProgress?.(`Fetching ${source.packageName} of Debian ${source.suite} (${source.size}, once) …`);
      await fetchInto(dir, source, { env, signal });
    });
  }
  return describeFetched(source, dir);
}

/** The folder for fetched servers: under XDG_CACHE_HOME or the home folder, otherwise under the temporary folder. */
async function serverCacheDir(env: NodeJS.ProcessEnv): Promise<string> {
  const home = env['HOME'] ?? homeFolder();
  const cache = env['XDG_CACHE_HOME'] ?? (home === undefined ? undefined : join(home, '.cache'));
  const usual = cache === undefined ? undefined : join(cache, 'odontology-webhooks', 'servers');
  if (usual !== undefined && (await isWritable(usual))) return usual;
  const uid = process.getuid?.() ?? -1;
  const fallback = join(tmpdir(), `odontology-webhooks-${uid}`, 'servers');
  if ((await isWritable(fallback)) && (uid < 0 || (await stat(dirname(fallback))).uid === uid))
    return fallback;
  throw new AppError(
    'ERR_SERVER_BINARY',
    `Neither ${usual ?? 'a home folder'} nor ${fallback} can be written.`,
    {
      remedy: 'Set XDG_CACHE_HOME to a folder of your own with 500 MB of free space.',
    },
  );
}

/** Undefined if the user id has no entry in the password file, as in containers. */
function homeFolder(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}

async function isWritable(dir: string): Promise<boolean> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await access(dir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function findOnPath(
  source: VariantSource,
  { env, cache }: { env: NodeJS.ProcessEnv; cache: string },
): Promise<ServerBinary | undefined> {
  const dirs = (env['PATH'] ?? '').split(delimiter).filter((dir) => dir !== '');
  for (const path of source.programs.flatMap((program) => dirs.map((dir) => join(dir, program)))) {
    const version = await versionOf([path], env);
    if (!version || !source.accepts.test(version) || isMariaDb(version) !== (source.flavour === 'mariadb'))
      continue;
    const number = numberOf(version);
    return {
      flavour: source.flavour,
      version: number,
      command: [path],
      options: [],
      shareDir: await findShareDir(dirname(dirname(await realpath(path)))),
      templateDir: join(cache, `${source.flavour}-path-data-${number}`),
    };
  }
  return undefined;
}

/** The program's answer to `--version`; undefined if it does not exist or does not run. */
async function versionOf(
  command: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const [program, ...args] = command;
  try {
    const { stdout } = await run(program, [...args, '--no-defaults', '--version'], { env });
    return stdout;
  } catch {
    return undefined;
  }
}

const isMariaDb = (version: string): boolean => version.includes('MariaDB');
const numberOf = (version: string): string => /Ver (\d+\.\d+\.\d+)/.exec(version)?.[1] ?? 'unknown';

async function findShareDir(prefix: string): Promise<string> {
  for (const name of ['mysql', 'mariadb', 'mysql-server', '.']) {
    const dir = join(prefix, 'share', name);
    if (await exists(join(dir, 'english', 'errmsg.sys'))) return dir;
  }
  return join(prefix, 'share');
}

/** The folder gets its final name only when it is complete, so its presence proves completeness. */
async function fetchInto(
  dir: string,
  source: VariantSource,
  { env, signal }: { env: NodeJS.ProcessEnv; signal: AbortSignal | undefined },
): Promise<void> {
  await removeUnfinished(dir);
  const scratch = await mkdtemp(`${dir}.part-`);
  try {
    const { packageName, suite } = source;
    const root = await fetchDebianPackages({ packageName, suite, intoDir: scratch, env, signal });
    await rename(root, dir).catch((error: unknown) => {
      // Another process was faster: its copy is equivalent.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY')) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function describeFetched(source: VariantSource, root: string): Promise<ServerBinary> {
  const program = join(root, 'usr', 'sbin', source.flavour === 'mysql' ? 'mysqld' : 'mariadbd');
  const { loader, libraryPath } = await findLoader(root);
  const command = [loader, '--library-path', libraryPath, program] as const;
  const version = await versionOf(command, process.env);
  if (version === undefined) {
    throw new AppError('ERR_SERVER_BINARY', `The fetched server in ${root} does not run.`, {
      remedy: `Remove the folder and try again: rm -r ${root}`,
    });
  }
  const shareDir = await findShareDir(join(root, 'usr'));
  const number = numberOf(version);
  return {
    flavour: source.flavour,
    version: number,
    command,
    options: [
      `--basedir=${join(root, 'usr')}`,
      `--plugin-dir=${join(root, 'usr', 'lib', 'mysql', 'plugin')}`,
      `--lc-messages-dir=${shareDir}`,
      `--character-sets-dir=${join(shareDir, 'charsets')}`,
    ],
    shareDir,
    templateDir: `${root}-data-${number}`,
  };
}

/** The loader and libraries of the fetched packages: the machine's C library may be older than the server requires. */
async function findLoader(root: string): Promise<{ loader: string; libraryPath: string }> {
  const libraryDirs: string[] = [];
  let loader: string | undefined;
  for (const parent of [join(root, 'lib'), join(root, 'usr', 'lib')]) {
    const names = (await exists(parent)) ? await readdir(parent) : [];
    for (const dir of names.filter((name) => name.includes('-linux-')).map((name) => join(parent, name))) {
      libraryDirs.push(dir);
      const file = (await readdir(dir)).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
      if (file) loader ??= join(dir, file);
    }
  }
  if (loader) return { loader, libraryPath: libraryDirs.join(':') };
  throw new AppError('ERR_SERVER_BINARY', `The fetched server in ${root} has no loader for this machine.`, {
    remedy: `Remove the folder and try again: rm -r ${root}`,
  });
}
