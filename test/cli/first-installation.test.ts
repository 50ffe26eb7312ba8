import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { expect, it, onTestFinished } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { widthOf } from '../../src/cli/terminal/terminal.ts';
import { wrapText } from '../../src/cli/terminal/wrap.ts';
import { waitFor } from '../support/wait-for.ts';

/*
 * A first installation beside a MariaDB with the settings of its package: README.md and the remedies that are printed, nothing else. The
 * transcript is docs/first-installation.md; `npx vitest run first-installation --update` writes it anew.
 */

const root = new URL('../..', import.meta.url).pathname;
const bin = join(root, 'src/cli/bin.js');
const document = join(root, 'docs/first-installation.md');

/** What Debian's package of MariaDB 10.11 leaves at its default, where the private server sets something else. */
const packageDefaults = [
  'skip-log-bin',
  'binlog-format=MIXED',
  'binlog-row-metadata=NO_LOG',
  'sync-binlog=0',
  'server-id=1',
];
const secret = `whsec_${'0f'.repeat(32)}`;
const payment = "INSERT INTO payments (patient_id, amount, payment_method) VALUES (1, 500.00, 'cash');";

const grants = `CREATE USER 'webhooks'@'%' IDENTIFIED BY 'a-long-password';
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'webhooks'@'%';
GRANT SELECT ON ontology_db.* TO 'webhooks'@'%';
GRANT ALL ON odontology_webhooks.* TO 'webhooks'@'%';`;

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

interface Installation {
  /** Runs one command to its end, and returns it as a terminal of 80 columns shows it. Throws when its exit code is another one. */
  shows(command: string, code: number): Promise<string>;
  /** Starts one command that lasts, and returns what it has printed so far. */
  starts(command: string): () => string;
  writes(yaml: string): Promise<void>;
}

/** A folder with a configuration, and a shell in it. */
async function openInstallation(sourceUrl: string): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
  const { PATH = '', HOME = '' } = process.env;
  const given = { SOURCE_DATABASE_URL: sourceUrl, PAYMENTS_WEBHOOK_SECRET: secret };
  const env = { PATH, HOME, NO_COLOR: '1', COLUMNS: '80', ...given };
  await mkdir(join(folder, 'config'));
  function start(command: string) {
    const child = spawn(process.execPath, [bin, ...command.split(' ')], { cwd: folder, env });
    const ended = once(child, 'close');
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    onTestFinished(async () => {
      child.kill('SIGTERM');
      await ended;
    });
    return { ended, output: () => output };
  }
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return {
    async shows(command, expected) {
      const { ended, output } = start(command);
      const [code] = await ended;
      expect(code, output()).toBe(expected);
      return `$ odontology-webhooks ${command}\n${output().trimEnd()}`;
    },
    starts: (command) => start(command).output,
    writes: (yaml) => writeFile(join(folder, 'config/odontology-webhooks.yaml'), yaml),
  };
}

/** The lines of the remedy of a finding. */
function remedyOf(report: string, title: string): string[] {
  const note = report.split('\n\n').find((part) => part.startsWith(`fail  ${title}\n`)) ?? '';
  return note.split('Remedy:\n')[1]?.split('\n') ?? [];
}

async function startAsPackaged(): Promise<PrivateServer> {
  const server = await startPrivateServer({ flavour: 'mariadb', settings: packageDefaults });
  onTestFinished(() => server.stop());
  const connection = await createConnection({ uri: server.url, multipleStatements: true });
  await connection.query('CREATE DATABASE ontology_db; USE ontology_db');
  await loadClinic(connection);
  await connection.query(grants);
  await connection.end();
  return server;
}

async function pay(server: PrivateServer): Promise<void> {
  const connection = await createConnection({ uri: `${server.url}/ontology_db` });
  await connection.query(payment);
  await connection.end();
}

const shownRoot = '/usr/lib/node_modules/odontology-webhooks/';

/** A text that is broken anywhere. */
const broken = (text: string): string => Array.from(text, (letter) => RegExp.escape(letter)).join('\\n?');

/** Where a line breaks depends on the length of the checkout's path: what begins with it is wrapped as the shown one is. */
function showInstalled(text: string): string {
  const entry = new RegExp(
    `^${broken(`${root}config/events.yaml:`)}([\\d:\\n]+)([^]*?)(?=\\n(?:${broken(root)}|Remedy:|\\n))`,
    'gm',
  );
  return text
    .replaceAll(entry, (_, place: string, rest: string) => {
      const file = `${shownRoot}config/events.yaml:${place.replaceAll('\n', '')}`;
      return wrapText(`${file} ${rest.trim().replaceAll('\n', ' ')}`, 80);
    })
    .replaceAll(root, shownRoot);
}

/** Replaces what differs from run to run by texts of the same width, so that no line breaks elsewhere. */
function settle(text: string, ports: Readonly<Record<number, string>>): string {
  return Object.entries(ports)
    .reduce((settled, [port, shown]) => settled.replaceAll(port, shown), showInstalled(text))
    .replaceAll(/MariaDB 10\.11\.\d+/g, 'MariaDB 10.11.18')
    .replaceAll(/\d{4}-\d\d-\d\d(?=[T \n]|$)/gm, '2026-03-07')
    .replaceAll(/\d\d:\d\d:\d\d(\.\d{3})?/g, (time) => '15:30:00.000'.slice(0, time.length))
    .replaceAll(/evt_[0-9a-f]{32}/g, 'evt_7455e9d3e921243aa5cd10da1f03a845')
    .replaceAll(/(position +).*/g, '$1binlog.000001:97310, GTIDs 0-1-191')
    .replaceAll(/(lag +)\S+/g, '$11s')
    .replaceAll(/(unread log +)\S+/g, '$10.0');
}

it('leads from check to the first webhook', { timeout: 300_000 }, async () => {
  const server = await startAsPackaged();
  const receiver = await freePort();
  const http = await freePort();
  const url = `mysql://webhooks:a-long-password@127.0.0.1:${server.port}/ontology_db`;
  const { shows, starts, writes } = await openInstallation(url);
  const yaml = `source:
  url: \${env:SOURCE_DATABASE_URL}
webhooks:
  - name: Payment Notifications
    url: http://127.0.0.1:${receiver}/webhooks/payments
    events: [payment.received]
    secret: \${env:PAYMENTS_WEBHOOK_SECRET}
http: { listen: 127.0.0.1:${http} }
`;
  await writes(yaml);
  const first = await shows('check', 2);

  const [heading, ...myCnf] = remedyOf(first, 'Binary log');
  expect(heading).toBe('Under [mysqld] in my.cnf, then restart the server:');
  await server.restart(myCnf.map((line) => line.replace(' = ', '=')));
  const opened = remedyOf(first, 'Webhooks of the file').at(-1)!;
  const delivery = opened.replace('{ ', '{ allow_http: true, ');
  await writes(`${yaml}${delivery}\n`);
  const second = await shows('check', 0);

  const received = starts(`receive --port ${receiver} --secret ${secret}`);
  const log = starts('run');
  await waitFor(() => received().includes('Listening'), { timeoutMs: 60_000, what: 'the receiver' });
  await waitFor(() => log().includes('"capturing"'), { timeoutMs: 60_000, what: 'the daemon to capture' });
  const running = await shows('status', 0);
  await pay(server);
  await waitFor(() => received().includes('"amount": 500.00'), { timeoutMs: 60_000, what: 'the webhook' });
  expect(received()).toContain('both signatures valid; answered 200');
  await waitFor(async () => (await shows('deliveries list', 0)).includes('delivered (200)'), {
    timeoutMs: 60_000,
    what: 'the delivery on record',
  });
  const listed = await shows('deliveries list', 0);
  const told = { yaml, first, myCnf, delivery, second, receiver, running, received: received(), listed };
  const ports = { [server.port]: '33306', [receiver]: '19000', [http]: '18377' };
  const transcript = settle(writeTranscript(told), ports);
  expect(transcript.split('\n').filter((line) => widthOf(line) > 80)).toEqual([]);
  await expect(transcript).toMatchFileSnapshot(document);
  expect(await readFile(join(root, 'README.md'), 'utf8')).toContain('(docs/first-installation.md)');
});

interface Told {
  yaml: string;
  first: string;
  myCnf: readonly string[];
  delivery: string;
  second: string;
  receiver: number;
  running: string;
  received: string;
  listed: string;
}

function writeTranscript(told: Told): string {
  const block = (text: string, language = 'text'): string => `\`\`\`${language}\n${text.trimEnd()}\n\`\`\`\n`;
  return `# A first installation, step by step

A Debian 12 with MariaDB 10.11 and the defaults of its package: no binary log.
The clinic's schema \`ontology_db\` is there. Everything below was run as it
stands, on a terminal of 80 columns; \`test/cli/first-installation.test.ts\` runs
it again. Times, ids and ports are replaced.

The program is installed as README.md says.

## 1. The account, as an administrator of the database

${block(grants, 'sql')}
## 2. The configuration

The receiver of this example is a program on the same machine.
\`config/odontology-webhooks.yaml\`:

${block(told.yaml, 'yaml')}
${block(
  `export SOURCE_DATABASE_URL=\\
mysql://webhooks:a-long-password@127.0.0.1:33306/ontology_db
export PAYMENTS_WEBHOOK_SECRET=whsec_$(openssl rand -hex 32)`,
  'sh',
)}
## 3. Is the server ready?

${block(told.first)}
## 4. Follow what fails

The server gets these lines under \`[mysqld]\` in
\`/etc/mysql/mariadb.conf.d/50-server.cnf\`, and a restart:

${block(told.myCnf.join('\n'), 'ini')}
The configuration gets one line, for the two findings about the webhook:

${block(told.delivery, 'yaml')}
## 5. Ask again

Exit code 0: \`run\` starts. What remains are warnings. Read each once, and
decide.

${block(told.second)}
## 6. Start a receiver and the daemon

Each in a terminal of its own:

${block(`odontology-webhooks receive --port ${told.receiver} --secret $PAYMENTS_WEBHOOK_SECRET`.replace(' --secret', ' \\\n  --secret'), 'sh')}
${block('odontology-webhooks run', 'sh')}
${block(told.running)}
## 7. The first webhook

A payment in the application's database:

${block(payment.replace(' VALUES', '\n  VALUES'), 'sql')}
The receiver prints:

${block(told.received)}
And the delivery is on record:

${block(told.listed)}`;
}
