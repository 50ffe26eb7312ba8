import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { HaltReason } from '../../src/binlog/halt.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import { loadConfig } from '../../src/config/load.ts';
import { acceptGap } from '../../src/capture/gap/accept-gap.ts';
import { findGap, type Gap } from '../../src/capture/gap/gap.ts';
import { startDaemon, type Daemon } from '../../src/daemon.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { createLog } from '../../src/lib/log.ts';
import { startMode, type Mode } from '../binlog/modes.ts';
import { runCli, writeConfig, type CliResult } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import type { TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

export const itemsTable =
  'CREATE TABLE items (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100), qty INT NOT NULL DEFAULT 0, label VARCHAR(40), note VARCHAR(40), doc JSON)';
const spareTable = 'CREATE TABLE spare (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100))';

const rules = `
missing: warn
events:
  item.created: { table: items, on: insert, data: { name: name, label: label, note: note } }
  item.moved: { table: items, on: update, when: { qty: { changes: true } }, data: { name: name, qty: qty, doc: doc } }
  spare.created: { table: spare, on: insert, data: { name: name } }
`;

/** A clinic on a server of its own, whose log the tests break, and a daemon in this process that reads it. */
export interface HaltingClinic {
  server: PrivateServer;
  schema: TestSchema;
  receiver: TestReceiver;
  storeName: string;
  /** The one that runs. */
  readonly daemon: Daemon | undefined;
  /** Unless it runs already. */
  start(sourceUrl?: string, seams?: Parameters<typeof startDaemon>[2]): Promise<void>;
  stop(): Promise<void>;
  get(path: string): Promise<{ status: number; body: string }>;
  /** Commits an item. */
  create(name: string): Promise<void>;
  /** What came of an event type: names, or reasons of `capture.gap`. */
  delivered(event?: string): unknown[];
  untilDelivered(...names: string[]): Promise<void>;
  untilReady(): Promise<void>;
  untilHalted(reason: HaltReason): Promise<void>;
  /** Accepts what must be given up, as Ana. */
  accept(reason: string, options?: { sourceUrl?: string; untilMs?: number }): Promise<Gap>;
  /** The last act on record. */
  lastAct(): Promise<{ role: unknown; action: unknown; details: Record<string, unknown> }>;
  cli(...args: string[]): Promise<CliResult>;
  /** What `cli` is called with. */
  configFile: string;
  env(sourceUrl?: string): Record<string, string>;
  /** How `cli` is called, for a shell. */
  command(...args: string[]): { line: string; env: Record<string, string> };
  /** Takes effect at the next start. */
  writeRules(text: string): Promise<void>;
  /** Forgets all that was captured: the next start is a first run. */
  forget(): void;
  close(): Promise<void>;
}

export async function startHaltingClinic(mode: Mode, firstRules = rules): Promise<HaltingClinic> {
  const { server, schema } = await startMode(mode);
  await schema.query(`${itemsTable}; ${spareTable}`);
  const receiver = await startTestReceiver();
  const config = await writeConfig(`
source: { url: "\${env:SOURCE_DATABASE_URL}", heartbeat: 1s }
store: { url: "\${env:STORE_DATABASE_URL}" }
http: { listen: "127.0.0.1:0" }
rules: rules.yaml
webhooks: [{ name: all, url: "${receiver.url}", events: ["*", capture.gap], secret: ${testSecret} }]
${receiver.delivery}`);
  const writeRules = (text: string): Promise<void> => writeFile(join(config.folder, 'rules.yaml'), text);
  await writeRules(firstRules);
  let daemon: Daemon | undefined;
  const nameStore = (): string => `store_${randomBytes(5).toString('hex')}`;
  const env = (sourceUrl = schema.url()): Record<string, string> => ({
    SOURCE_DATABASE_URL: sourceUrl,
    STORE_DATABASE_URL: `${server.url}/${clinic.storeName}`,
  });

  const clinic: HaltingClinic = {
    server,
    schema,
    receiver,
    storeName: nameStore(),
    get daemon() {
      return daemon;
    },
    async start(sourceUrl, seams) {
      daemon ??= await startDaemon(loadConfig(config.file, env(sourceUrl)), createLog('silent'), seams);
    },
    async stop() {
      await daemon?.stop();
      daemon = undefined;
    },
    async get(path) {
      const response = await fetch(daemon!.url + path);
      return { status: response.status, body: await response.text() };
    },
    async create(name) {
      await schema.query('INSERT INTO items (name) VALUES (?)', [name]);
    },
    delivered: (event = 'item.created') =>
      receiver.received
        .filter((each) => each.event === event)
        .map(({ data }) => data['name'] ?? data['reason']),
    async untilDelivered(...names) {
      await waitFor(() => names.every((name) => clinic.delivered().includes(name)), {
        timeoutMs: 30_000,
        what: names.join(', '),
      });
    },
    async untilReady() {
      // A halt whose cause is gone is tried again after 30 s.
      await waitFor(() => daemon!.isReady(), { timeoutMs: 60_000, what: 'capture to continue' });
    },
    async untilHalted(reason) {
      await waitFor(
        async () => {
          const { status, body } = await clinic.get('/readyz');
          // On record as well: an accepted one is shown until the daemon notices.
          const [row] = await schema.query(`SELECT halt FROM ${clinic.storeName}.checkpoint`);
          return status === 503 && body.includes(`halted (${reason})`) && row!['halt'] !== null;
        },
        { timeoutMs: 30_000, what: `the halt: ${reason}` },
      );
      expect((await clinic.get('/metrics')).body).toMatch(/^odontology_webhooks_halted 1$/m);
    },
    async accept(reason, { sourceUrl, untilMs } = {}) {
      const loaded = loadConfig(config.file, env(sourceUrl));
      const source = openSource(loaded.source.url);
      const store = openStore(loaded.store.url);
      const vault = { store, cipher: clearCipher };
      try {
        const gap = await findGap({ ...vault, source, config: loaded }, untilMs);
        await acceptGap(vault, gap, { actor: { name: 'Ana', role: 'operator' }, reason });
        return gap;
      } finally {
        await source.close();
        await store.close();
      }
    },
    async lastAct() {
      const [record] = await schema.query(
        `SELECT role, action, details FROM ${clinic.storeName}.audit_log ORDER BY id DESC LIMIT 1`,
      );
      const { role, action, details } = record!;
      // JSON comes as text from MariaDB.
      const plain: unknown = typeof details === 'string' ? JSON.parse(details) : details;
      return { role, action, details: plain as Record<string, unknown> };
    },
    configFile: config.file,
    env,
    cli: (...args) => runCli([...args, '--config', config.file], env()),
    command: (...args) => ({
      line: [process.execPath, 'src/cli/bin.js', ...args, '--config', config.file]
        .map((word) => `'${word}'`)
        .join(' '),
      env: env(),
    }),
    writeRules,
    forget() {
      clinic.storeName = nameStore();
    },
    async close() {
      await clinic.stop();
      await receiver.stop();
      await schema.drop();
      await server.stop();
      await config.remove();
    },
  };
  return clinic;
}
