import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { waitFor } from './wait-for.ts';

const bin = new URL('../../src/cli/bin.js', import.meta.url).pathname;

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Starts one command as users do. */
export function spawnCli(args: readonly string[], env: Record<string, string> = {}) {
  return spawn(process.execPath, [bin, ...args], {
    env: { ...baseEnv(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs one command until it ends. */
export async function runCli(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  const child = spawnCli(args, env);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

/** Wide enough that sentences are not wrapped; width.test.ts tests 80 columns. */
export const wideColumns = '400';

function baseEnv(): Record<string, string> {
  const { PATH = '', HOME = '' } = process.env;
  return { PATH, HOME, NO_COLOR: '1', COLUMNS: wideColumns };
}

/** A folder with a configuration file, removed by `remove`. */
export async function writeConfig(
  yaml: string,
): Promise<{ file: string; folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
  const file = join(folder, 'odontology-webhooks.yaml');
  await writeFile(file, yaml);
  return { file, folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

export interface DaemonOptions {
  sourceUrl: string;
  /** A schema of its own for each test. */
  storeUrl: string;
  /** YAML of further tokens: `{ name: luz, role: auditor, sha256: "…" }`. */
  tokens?: string;
  /** YAML of the section `store`, if it contains more than the URL. */
  store?: string;
  /** YAML below the fixed part: webhooks, delivery, … */
  yaml?: string;
  env?: Record<string, string>;
}

/** A daemon in its own process, started with `run`. */
export interface DaemonProcess {
  readonly url: string;
  readonly pid: number;
  readonly token: string;
  readonly configFile: string;
  /** Every line of its log so far, parsed. */
  readonly log: Record<string, unknown>[];
  /** The whole standard error so far. */
  stderr(): string;
  get(path: string): Promise<{ status: number; body: string }>;
  untilReady(): Promise<void>;
  /** Sends SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** Sends SIGKILL; resolves when the process has ended. */
  kill(): Promise<void>;
}

/** Starts the daemon and waits until it listens. The caller stops it; its configuration file is then removed. */
export async function startDaemonProcess(options: DaemonOptions): Promise<DaemonProcess> {
  const token = randomBytes(24).toString('base64url');
  const sha256 = createHash('sha256').update(token).digest('hex');
  const config = await writeConfig(`
source: { url: "\${env:SOURCE_DATABASE_URL}", heartbeat: 1s }
${options.store ?? 'store: { url: "${env:STORE_DATABASE_URL}" }'}
http: { listen: "127.0.0.1:0", tokens: [{ name: test, role: admin, sha256: "${sha256}" }${options.tokens ? `, ${options.tokens}` : ''}] }
${options.yaml ?? ''}
`);
  const child = spawn(process.execPath, [bin, 'run', '--config', config.file], {
    env: {
      ...baseEnv(),
      SOURCE_DATABASE_URL: options.sourceUrl,
      STORE_DATABASE_URL: options.storeUrl,
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return follow(child, { token, config });
}

interface Started {
  token: string;
  config: Awaited<ReturnType<typeof writeConfig>>;
}

async function follow(child: ChildProcess, { token, config }: Started): Promise<DaemonProcess> {
  const log: Record<string, unknown>[] = [];
  let stderr = '';
  let exited: { code: number | null } | undefined;
  createInterface({ input: child.stdout! }).on('line', (line) =>
    log.push(JSON.parse(line) as Record<string, unknown>),
  );
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = once(child, 'close').then(async ([code]) => {
    exited = { code: code as number | null };
    await config.remove();
    return exited.code;
  });
  // The end of the process is returned like a URL, because waitFor retries a condition that throws.
  const begun = await waitFor(
    () => exited ?? (log.find(({ msg }) => msg === 'listening')?.['url'] as string | undefined),
    { timeoutMs: 90_000, what: 'the daemon to listen' },
  ).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw new Error(`the daemon did not start: ${stderr} ${JSON.stringify(log)}`, { cause: error });
  });
  if (typeof begun !== 'string') throw new Error(`the daemon ended with ${String(begun.code)}: ${stderr}`);
  const url = begun;
  const get = async (path: string): Promise<{ status: number; body: string }> => {
    const response = await fetch(url + path, { headers: { authorization: `Bearer ${token}` } });
    return { status: response.status, body: await response.text() };
  };
  return {
    url,
    token,
    log,
    get,
    configFile: config.file,
    pid: child.pid!,
    stderr: () => stderr,
    async untilReady() {
      await waitFor(async () => (await get('/readyz')).status === 200, {
        timeoutMs: 30_000,
        what: 'the daemon to be ready',
      });
    },
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
