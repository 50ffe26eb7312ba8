import { spawn, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { AppError, messageOf } from '../lib/errors.ts';
import { monotonicMs, sleep } from '../lib/clock.ts';
import { createDataDirectory } from './data-directory.ts';
import { exists, isAlive } from './file-lock.ts';
import { toServerArguments } from './server-arguments.ts';
import {
  resolveServerBinary,
  type Flavour,
  type ServerBinary,
  type ServerVariant,
} from './server-binaries.ts';

const folderPrefix = 'odontology-webhooks-server-';
const readyWithinMs = 120_000;
const stopWithinMs = 20_000;
const readyPollMs = 25;
const keptLogBytes = 64 * 1024;

export interface PrivateServerOptions {
  flavour: ServerVariant;
  /** Overrides the binary that is found for `flavour`. */
  binary?: ServerBinary;
  /** Server variables as `name=value`; they override ours. */
  settings?: readonly string[];
  /** Called before a slow step, such as a download. */
  onProgress?: (message: string) => void;
  /** Aborts the start, and throws its reason. A server that is ready is ended by `stop`. */
  signal?: AbortSignal;
}

/** A throwaway database server: a child process with a data directory of its own, on loopback. */
export interface PrivateServer {
  readonly flavour: Flavour;
  /** `9.7.4`, `10.11.18`. */
  readonly version: string;
  readonly host: string;
  readonly port: number;
  /** `mysql://root@127.0.0.1:<port>`: root has no password. */
  readonly url: string;
  readonly socketPath: string;
  readonly dataDir: string;
  readonly pid: number;
  /** The end of the server's error log. */
  log(): string;
  /** Sends a signal. Resolves when the process has ended; immediately after SIGSTOP and SIGCONT. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Restarts on the same port and data directory, after a clean shutdown if it still runs. Given settings apply from then on. */
  restart(settings?: readonly string[]): Promise<void>;
  /** Ends the server and removes its data directory. Safe to call twice. */
  stop(): Promise<void>;
}

interface Running {
  child: ChildProcess;
  exited: Promise<void>;
}

/**
 * Starts a throwaway server, from PATH or fetched once (ERR_SERVER_BINARY if it cannot be fetched), and waits until it
 * accepts connections. Binlog on, row format, full metadata, GTID on, unless `settings` overrides this.
 * If our process ends without `stop`, the server is killed and its data directory removed; if our process gets a SIGKILL,
 * the kernel ends the server and the next start removes the directory.
 */
export async function startPrivateServer(options: PrivateServerOptions): Promise<PrivateServer> {
  const { flavour, settings = [], onProgress, signal } = options;
  const binary =
    options.binary ??
    (await resolveServerBinary(flavour, { ...(onProgress && { onProgress }), ...(signal && { signal }) }));
  await removeAbandonedFolders();
  const dir = await mkdtemp(join(tmpdir(), folderPrefix));
  const dataDir = join(dir, 'data');
  const wanted = settings.map((setting) => setting.replace(/^--/, ''));
  const { server, start } = createLives({ binary, dir, dataDir, settings: wanted, signal });
  try {
    await writeFile(join(dir, 'owner.pid'), String(process.pid));
    await createDataDirectory(binary, dataDir, wanted);
    signal?.throwIfAborted();
    await start();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

interface LivesOptions {
  binary: ServerBinary;
  dir: string;
  dataDir: string;
  settings: readonly string[];
  signal: AbortSignal | undefined;
}

/** One server with its successive processes: start, kill, restart, stop. */
function createLives({ binary, dir, dataDir, settings: first, signal }: LivesOptions): {
  server: PrivateServer;
  start(): Promise<void>;
} {
  const host = '127.0.0.1';
  const socketPath = join(dir, 's.sock');
  const serverId = randomInt(1, 2 ** 32 - 1);
  let port = 0;
  let log = '';
  let running: Running | undefined;
  let settings = first;

  function cleanUpAtExit(): void {
    running?.child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true, maxRetries: 10 });
  }

  process.once('exit', cleanUpAtExit);

  async function launch(): Promise<void> {
    const args = toServerArguments({ binary, dataDir, socketPath, port, serverId, settings });
    const child = await spawnServer(binary, args);
    child
      .stderr!.setEncoding('utf8')
      .on('data', (chunk: string) => (log = (log + chunk).slice(-keptLogBytes)));
    const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
    running = { child, exited };
    await waitUntilReady({ child, host, port, log: () => log, signal });
  }

  /** Another process may take a free port before the server listens on it: then another port is tried. */
  async function start(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      port = await findFreePort();
      try {
        await launch();
        return;
      } catch (error) {
        await kill('SIGKILL');
        const taken = /Address already in use|port: \d+ \?|bind on (tcp\/ip )?port/i.test(log);
        if (!taken || attempt === 3) throw error;
      }
    }
  }

  async function kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (running && (await endProcess(running, signal))) running = undefined;
  }

  const server: PrivateServer = {
    flavour: binary.flavour,
    version: binary.version,
    host,
    get port() {
      return port;
    },
    get url() {
      return `mysql://root@${host}:${port}`;
    },
    socketPath,
    dataDir,
    get pid() {
      return running?.child.pid ?? 0;
    },
    log: () => log,
    kill,
    async restart(changed = settings) {
      await kill('SIGTERM');
      settings = changed;
      await launch();
    },
    async stop() {
      await kill('SIGTERM');
      process.removeListener('exit', cleanUpAtExit);
      await rm(dir, { recursive: true, force: true, maxRetries: 10 });
    },
  };
  return { server, start };
}

/** Sends a signal. Returns whether the process has ended; after `stopWithinMs` it is ended by SIGKILL. */
async function endProcess({ child, exited }: Running, signal: NodeJS.Signals): Promise<boolean> {
  child.kill(signal);
  if (signal === 'SIGSTOP' || signal === 'SIGCONT') return false;
  const patience = new AbortController();
  const late = sleep(stopWithinMs, patience.signal).then(() => {
    if (!patience.signal.aborted) child.kill('SIGKILL');
  });
  await exited;
  patience.abort();
  await late;
  return true;
}

async function spawnServer(binary: ServerBinary, options: readonly string[]): Promise<ChildProcess> {
  // The kernel then ends the server with our process even if our process is killed without cleaning up.
  const guardian = '/usr/bin/setpriv';
  const guarded = (await exists(guardian)) ? [guardian, '--pdeathsig', 'KILL'] : [];
  const [program, ...args] = [...guarded, ...binary.command, ...options];
  // Its own process group: Ctrl-C in the terminal reaches only our process, which then stops the server.
  const child = spawn(program!, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  child.on('error', () => undefined);
  return child;
}

interface ReadyProbe {
  child: ChildProcess;
  host: string;
  port: number;
  log: () => string;
  signal: AbortSignal | undefined;
}

async function waitUntilReady({ child, host, port, log, signal }: ReadyProbe): Promise<void> {
  const deadline = monotonicMs() + readyWithinMs;
  for (;;) {
    signal?.throwIfAborted();
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      throw new AppError('ERR_SERVER_BINARY', `The private server ended at once: ${logErrors(log())}`);
    }
    try {
      const connection = await createConnection({ host, port, user: 'root' });
      await connection.end();
      return;
    } catch (error) {
      if (monotonicMs() > deadline) {
        const reason = `${messageOf(error)}; ${logErrors(log())}`;
        throw new AppError('ERR_SERVER_BINARY', `The private server does not get ready: ${reason}`, {
          cause: error,
        });
      }
    }
    await sleep(readyPollMs, signal);
  }
}

function logErrors(log: string): string {
  const errors = log.split('\n').filter((line) => line.includes('ERROR'));
  return (errors.length > 0 ? errors : log.trim().split('\n')).slice(-3).join('; ');
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return port;
}

/** Removes the folders of servers whose owner was killed by SIGKILL. */
async function removeAbandonedFolders(): Promise<void> {
  for (const name of (await readdir(tmpdir())).filter((entry) => entry.startsWith(folderPrefix))) {
    const dir = join(tmpdir(), name);
    const owner = Number(await readFile(join(dir, 'owner.pid'), 'utf8').catch(() => ''));
    if (owner > 0 && !isAlive(owner)) await rm(dir, { recursive: true, force: true }).catch(() => undefined);
  }
}
