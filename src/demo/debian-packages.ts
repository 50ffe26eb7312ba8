import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AppError, messageOf } from '../lib/errors.ts';
import { exists } from './file-lock.ts';

const run = promisify(execFile);
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

export interface PackageRequest {
  /** Fetched with all its dependencies, unless `isAlone`. */
  packageName: string;
  isAlone?: boolean;
  /** `sid`, `bookworm`, … ; it may differ from the machine's own suite. */
  suite: string;
  /** An existing empty folder: `root/` in it receives the files, the rest is apt's scratch space. */
  intoDir: string;
  env: NodeJS.ProcessEnv;
  /** Ends running commands, and throws its reason. */
  signal: AbortSignal | undefined;
}

/**
 * Downloads a Debian package with all its dependencies, verifies the signatures, and unpacks it into `<intoDir>/root`.
 * Needs neither root nor a free apt lock, and does not change the system's apt state.
 * Throws ERR_SERVER_BINARY if the machine does not run Debian or reaches no mirror.
 */
export async function fetchDebianPackages({
  packageName,
  isAlone = false,
  suite,
  intoDir,
  env,
  signal,
}: PackageRequest): Promise<string> {
  const commandEnv = { ...env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  try {
    const mirror = await askMirror({ env: commandEnv, signal });
    const config = await writeAptConfig({ intoDir, suite, mirror });
    const archives = archivesIn(intoDir);
    const apt = (...args: string[]) =>
      run('apt-get', ['-c', config, ...args], {
        env: commandEnv,
        // `download` writes its file to the working directory; for the other commands the directory is configured.
        cwd: archives,
        maxBuffer: 1 << 26,
        signal,
      });
    await apt('update');
    if (isAlone) await apt('download', packageName);
    else await apt('install', '--yes', '--download-only', '--no-install-recommends', packageName);
    return await unpack(intoDir, { env: commandEnv, signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof AppError) throw error;
    throw new AppError(
      'ERR_SERVER_BINARY',
      `${packageName} of Debian ${suite} could not be fetched: ${aptReason(error)}`,
      {
        cause: error,
      },
    );
  }
}

const archivesIn = (dir: string): string => join(dir, 'cache', 'archives');

type RunOptions = Pick<PackageRequest, 'env' | 'signal'>;

/** The address of the machine's own Debian mirror. apt reports it, so a site's local mirror or proxy is honoured. */
async function askMirror(options: RunOptions): Promise<string> {
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1];
  // If `apt-get update` never ran (a fresh container image), apt lists its sources only without release files,
  // and then without their origin, which distinguishes Debian from another vendor with the same suite name.
  for (const mode of [[], ['--no-release-info']]) {
    const format = '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)';
    const args = [...mode, 'indextargets', '--format', format, 'Created-By: Packages'];
    const { stdout } = await run('apt-get', args, options);
    const targets = stdout.split('\n').map((line) => line.split(' '));
    const own = targets.filter(
      ([, release, component]) => component === 'main' && (release === codename || release === 'stable'),
    );
    const mirror = (own.find(([, , , origin]) => origin === 'Debian') ?? own[0])?.[0];
    if (mirror) return mirror;
  }
  throw new AppError('ERR_SERVER_BINARY', 'apt-get knows no Debian mirror on this machine.');
}

async function writeAptConfig(request: { intoDir: string; suite: string; mirror: string }): Promise<string> {
  const { intoDir, suite, mirror } = request;
  const state = join(intoDir, 'state');
  const cache = join(intoDir, 'cache');
  await mkdir(join(state, 'lists', 'partial'), { recursive: true });
  await mkdir(join(cache, 'archives', 'partial'), { recursive: true });
  await writeFile(join(state, 'status'), '');
  // Newer releases have no key in trusted.gpg.d, only the keyring that their own sources name.
  const signedBy = (await exists(keyring)) ? `[signed-by=${keyring}] ` : '';
  await writeFile(join(intoDir, 'sources.list'), `deb ${signedBy}${mirror} ${suite} main\n`);
  const path = join(intoDir, 'apt.conf');
  await writeFile(path, aptConfig(intoDir));
  return path;
}

function aptConfig(dir: string): string {
  return `
Dir::State "${dir}/state";
Dir::State::status "${dir}/state/status";
Dir::Cache "${dir}/cache";
Dir::Log "${dir}/log";
Dir::Etc::SourceList "${dir}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Debug::NoLocking "1";
APT::Sandbox::User "";
APT::Architectures "";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
// Hooks of the machine clean its own caches: they are not ours to run.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
`;
}

async function unpack(dir: string, options: RunOptions): Promise<string> {
  const archives = archivesIn(dir);
  const root = join(dir, 'root');
  await mkdir(root);
  for (const file of (await readdir(archives)).filter((name) => name.endsWith('.deb'))) {
    await run('dpkg-deb', ['--extract', join(archives, file), root], options);
  }
  return root;
}

/** apt's own error message, without the progress lines around it. */
function aptReason(error: unknown): string {
  const stderr = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : '';
  const reason = stderr.split('\n').find((line) => line.startsWith('E: '));
  return reason?.slice(3) ?? messageOf(error).split('\n')[0] ?? '';
}
