import { Command, Option } from 'commander';
import { createHash, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection, type Connection } from 'mysql2/promise';
import { loadConfig } from '../../config/load.ts';
import { startDaemon, type Daemon } from '../../daemon.ts';
import { describeRules } from '../../event/rule/describe.ts';
import { builtInRulesFile, readRules } from '../../event/rule/rule-file.ts';
import { sleep } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import { createLog } from '../../lib/log.ts';
import { loadClinic } from '../../demo/clinic.ts';
import { playDay } from '../../demo/clinic-day.ts';
import { startPrivateServer, type PrivateServer } from '../../demo/private-server.ts';
import { startReceiver } from '../../demo/receiver.ts';
import { createReport, type Report } from './report.ts';
import { serverVariants, type ServerVariant } from '../../demo/server-binaries.ts';
import { onInterrupt } from '../process/interrupt.ts';
import { print, printError } from '../terminal/output.ts';

const schema = 'ontology_db';
/** Long enough for a duplicate webhook to arrive. */
const QUIET_MS = 1_000;

interface DemoOptions {
  server: ServerVariant;
  keep?: true;
}

/** `odontology-webhooks demo` */
export function demoCommand(): Command {
  return new Command('demo')
    .description('a day at the clinic on a private throwaway server, every webhook verified')
    .addOption(
      new Option('--server <server>', 'which server to start').choices(serverVariants).default('mysql'),
    )
    .option('--keep', 'leave everything running until Ctrl-C, and print the addresses')
    .action(async (options: DemoOptions) => {
      using interrupt = onInterrupt();
      await using stack = new AsyncDisposableStack();
      // Deferred first, so it runs last: Ctrl-C while the rest is being stopped counts as an interruption, too.
      stack.defer(() => {
        if (interrupt.signal.aborted && !options.keep) process.exitCode = 1;
      });
      try {
        await runDemo(options, stack, interrupt.signal);
      } catch (error) {
        // After an interruption, running operations fail with their own errors; these are not shown.
        if (!interrupt.signal.aborted) throw error;
        printError('Interrupted before the day was over: everything is stopped and removed.');
        process.exitCode = 1;
      }
    });
}

async function runDemo(
  options: DemoOptions,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<void> {
  print(`Starting a private ${options.server === 'mysql' ? 'MySQL' : 'MariaDB'} server …`);
  const server = await startPrivateServer({ flavour: options.server, onProgress: print, signal });
  stack.defer(() => server.stop());
  const { application, sourceUrl } = await prepareClinic(server, stack);
  print(
    `${server.flavour} ${server.version} runs at ${server.host}:${server.port}, with the clinic's schema ${schema}.`,
  );

  const secret = `whsec_${randomBytes(32).toString('hex')}`;
  const types = describeRules(readRules(builtInRulesFile)).map(({ type }) => type);
  const report = createReport({ types, write: print, signal });
  const receiver = await startReceiver({ secret, onWebhook: (webhook) => report.onWebhook(webhook) });
  stack.defer(() => receiver.stop());
  const token = randomBytes(24).toString('base64url');
  const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-demo-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const configFile = join(folder, 'odontology-webhooks.yaml');
  await writeFile(configFile, configText({ receiver, token }));
  const config = loadConfig(configFile, { SOURCE_DATABASE_URL: sourceUrl, DEMO_SECRET: secret });
  const daemon = await startDaemon(config, createLog('warn'));
  stack.defer(() => daemon.stop());
  print(`odontology-webhooks listens at ${daemon.url}, the receiver at ${receiver.url}.\n`);

  await untilCapturing(daemon, signal);
  await playDay(application, report, signal);
  await sleep(QUIET_MS, signal);
  signal.throwIfAborted();
  conclude(report);
  if (options.keep) await keepRunning({ server, daemon, token, configFile, sourceUrl }, signal);
}

function conclude(report: Report): void {
  const { text, problems } = report.summary();
  print(`\n${text}`);
  if (problems.length === 0) return;
  throw new AppError('ERR_INTERNAL', `The day did not go as promised: ${problems.join(' ')}`);
}

/** Loads the schema and creates the application's user, and our user with the minimum of privileges. */
async function prepareClinic(
  server: PrivateServer,
  stack: AsyncDisposableStack,
): Promise<{ application: Connection; sourceUrl: string }> {
  const root = await createConnection({ uri: server.url, charset: 'utf8mb4' });
  const [applicationPassword, webhooksPassword] = [
    randomBytes(12).toString('hex'),
    randomBytes(12).toString('hex'),
  ];
  try {
    await root.query(`CREATE DATABASE ${schema}`);
    await root.query(`USE ${schema}`);
    await loadClinic(root);
    for (const statement of [
      `CREATE USER 'app'@'%' IDENTIFIED BY '${applicationPassword}'`,
      `GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON ${schema}.* TO 'app'@'%'`,
      `CREATE USER 'webhooks'@'%' IDENTIFIED BY '${webhooksPassword}'`,
      "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'webhooks'@'%'",
      `GRANT SELECT ON ${schema}.* TO 'webhooks'@'%'`,
      "GRANT ALL ON odontology_webhooks.* TO 'webhooks'@'%'",
    ]) {
      await root.query(statement);
    }
  } finally {
    await root.end();
  }
  const at = `${server.host}:${server.port}/${schema}`;
  const application = await createConnection({
    uri: `mysql://app:${applicationPassword}@${at}`,
    charset: 'utf8mb4',
  });
  stack.defer(() => application.end());
  return { application, sourceUrl: `mysql://webhooks:${webhooksPassword}@${at}` };
}

function configText({ receiver, token }: { receiver: { url: string; port: number }; token: string }): string {
  const sha256 = createHash('sha256').update(token).digest('hex');
  return [
    'source: { url: "${env:SOURCE_DATABASE_URL}" }',
    'webhooks:',
    `  - { name: Demo, url: "${receiver.url}", events: ["*"], secret: "\${env:DEMO_SECRET}" }`,
    'delivery:',
    '  allow_http: true',
    `  allow_private_networks: ["127.0.0.1/32:${receiver.port}"]`,
    `  allowed_ports: [${receiver.port}]`,
    'http:',
    '  listen: 127.0.0.1:0',
    `  tokens: [{ name: demo, role: admin, sha256: "${sha256}" }]`,
    '',
  ].join('\n');
}

async function untilCapturing(daemon: Daemon, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !daemon.isReady()) await sleep(20, signal);
}

interface Kept {
  server: PrivateServer;
  daemon: Daemon;
  token: string;
  configFile: string;
  sourceUrl: string;
}

async function keepRunning(
  { server, daemon, token, configFile, sourceUrl }: Kept,
  signal: AbortSignal,
): Promise<void> {
  print(`
Everything keeps running until Ctrl-C:
  database        ${server.url}/${schema}  (root, no password)
  as webhooks     ${sourceUrl}
  API             ${daemon.url}/api/status
  token           ${token}  (admin)
  configuration   ${configFile}
Try: curl -H 'Authorization: Bearer ${token}' ${daemon.url}/api/status`);
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
