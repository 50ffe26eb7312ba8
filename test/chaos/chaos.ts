import { systemEventTypes } from '../../src/event/system-events.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import type { ServerVariant } from '../../src/demo/server-binaries.ts';
import { monotonicMs, sleep } from '../../src/lib/clock.ts';
import { writeConfig } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import { waitFor } from '../support/wait-for.ts';
import { compare, type Delivered, type Differences } from './compare.ts';
import { keepDaemon, type DaemonKeeper, type KeeperCounts } from './daemon-keeper.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { deal, type FaultCounts } from './faults.ts';
import { installHistory, netTransitions, readHistory } from './history.ts';
import { chaosRules, deliveredEvent, expectedEvents, type Told } from './oracle.ts';
import { createRandom, type Random } from './random.ts';
import { write, type WorkloadCounts } from './workload.ts';

export interface ChaosOptions {
  variant: ServerVariant;
  /** Decides the workload and the faults; their moments also depend on the machine. */
  seed: number;
  durationMs: number;
  /** MySQL's own default is off. */
  gtid: boolean;
  /** Mean pause between two faults. */
  meanPauseMs: number;
  onProgress?: (message: string) => void;
  /** Every line that the daemons write. */
  onLine?: (line: string) => void;
}

export interface ChaosReport extends Differences {
  faults: FaultCounts;
  daemon: KeeperCounts;
  workload: WorkloadCounts;
  /** Rows that the triggers recorded, and what is left of them net of each transaction. */
  changes: number;
  transitions: number;
  /** Events that the history asks for. */
  expected: number;
  /** Rows and distinct ids of the outbox, and deliveries that are left in its queue. */
  outbox: { events: number; ids: number; queued: number };
  /** Distinct events that the receiver accepted, and further copies of them. */
  delivered: number;
  copies: number;
  /** Requests whose signatures did not hold. */
  unverified: number;
  /** Of the last daemon's SIGTERM. */
  exitCode: number | null;
}

const schema = 'ontology_db';
const store = 'odontology_webhooks';
const writers = 4;
/** Expected minus delivered, from where on the writers wait. */
const backlog = 3_000;
/**
 * Without one more accepted event for so long, nothing more will come. A server that was killed last of all takes 20 s to come
 * back on a busy machine, and everything that waits for it tries again every 15 s by then.
 */
const idleMs = 120_000;

/** Everything that stands around the daemon, and is taken down in reverse. */
interface Stage {
  server: PrivateServer;
  source: FaultProxy;
  store: FaultProxy;
  inbox: Inbox;
  keeper: DaemonKeeper;
}

/** Runs the clinic and the daemon through faults for a while, lets everything come to rest and compares. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const stack = new AsyncDisposableStack();
  try {
    return await play(options, await prepare(options, stack));
  } finally {
    await stack.disposeAsync();
  }
}

async function prepare(options: ChaosOptions, stack: AsyncDisposableStack): Promise<Stage> {
  const { variant, gtid, seed } = options;
  const settings = variant === 'mysql' && !gtid ? ['gtid-mode=OFF', 'enforce-gtid-consistency=OFF'] : [];
  const server = await startPrivateServer({
    flavour: variant,
    settings: ['innodb-flush-log-at-trx-commit=1', ...settings],
  });
  stack.defer(() => server.stop());
  await withConnection(server.url, async (connection) => {
    await connection.query(`CREATE DATABASE ${schema}`);
    await connection.query(`USE ${schema}`);
    await loadClinic(connection);
    await installHistory(connection);
  });
  const [source, storeProxy] = [await startFaultProxy(server.port), await startFaultProxy(server.port)];
  stack.defer(() => source.stop());
  stack.defer(() => storeProxy.stop());
  const receiver = await startTestReceiver();
  stack.defer(() => receiver.stop());
  const inbox = createInbox(receiver, createRandom(seed + 1));
  const config = await writeConfig(configuration(receiver));
  stack.defer(() => config.remove());
  await writeFile(join(config.folder, 'chaos-rules.yaml'), chaosRules());
  const keeper = keepDaemon({
    configFile: config.file,
    env: {
      SOURCE_DATABASE_URL: `mysql://root@127.0.0.1:${source.port}/${schema}`,
      STORE_DATABASE_URL: `mysql://root@127.0.0.1:${storeProxy.port}/${store}`,
    },
    onLine: (line) => options.onLine?.(line),
  });
  stack.defer(async () => {
    keeper.kill();
    await keeper.stop();
  });
  await waitFor(() => keeper.counts.readers > 0, { timeoutMs: 60_000, what: 'the first reader' });
  return { server, source, store: storeProxy, inbox, keeper };
}

/** Retries outlast any run: nothing may be given up. */
function configuration({ url, port }: TestReceiver): string {
  const retries = [...Array<string>(5).fill('200ms'), ...Array<string>(200).fill('1s')].join(', ');
  return `
source: { url: "\${env:SOURCE_DATABASE_URL}", heartbeat: 1s }
store: { url: "\${env:STORE_DATABASE_URL}" }
rules: chaos-rules.yaml
http: { listen: "127.0.0.1:0" }
webhooks:
  - { name: chaos, url: "${url}", events: ["*"], secret: ${testSecret}, max_in_flight: 32, timeout: 5s }
delivery:
  allow_http: true
  allow_private_networks: ["127.0.0.1/32"]
  allowed_ports: [${port}]
  retry_schedule: [${retries}]
`;
}

/** What the receiver has accepted, in the order of arrival. */
interface Inbox {
  accepted: Map<string, Delivered>;
  copies: number;
  unverified: number;
  /** Answers everything at once and well from here on. */
  behave(): void;
}

function createInbox(receiver: TestReceiver, random: Random): Inbox {
  const inbox: Inbox = { accepted: new Map(), copies: 0, unverified: 0, behave };
  let wicked = true;
  function behave(): void {
    wicked = false;
  }
  receiver.answer = async ({ id, body, verified }: Received): Promise<number> => {
    // The receiver's own list would hold every header of a long run.
    receiver.received.length = 0;
    if (!verified) inbox.unverified += 1;
    if (wicked && random.chance(0.03)) return random.pick([500, 503, 429, 302]);
    if (inbox.accepted.has(id)) inbox.copies += 1;
    else inbox.accepted.set(id, { id, told: deliveredEvent(body) });
    if (wicked && random.chance(0.01)) await sleep(random.below(1_500));
    return 204;
  };
  return inbox;
}

async function play(options: ChaosOptions, stage: Stage): Promise<ChaosReport> {
  const { seed, durationMs, meanPauseMs, onProgress } = options;
  const { server, inbox, keeper } = stage;
  const random = createRandom(seed);
  const stop = new AbortController();
  const url = `${server.url}/${schema}`;
  const throttle = createThrottle(url, inbox);
  const writing = Array.from({ length: writers }, (_, i) =>
    write(
      {
        url,
        random: createRandom(seed * 100 + i),
        name: `w${i}`,
        paceMs: 15,
        room: () => throttle.room(stop.signal),
      },
      stop.signal,
    ),
  );
  const query = (sql: string): Promise<void> =>
    withConnection(url, async (connection) => {
      await connection.query(sql);
    });
  const dealing = deal({ ...stage, query }, { random, meanPauseMs }, stop.signal);
  await sleep(durationMs);
  stop.abort();
  const faults = await dealing;
  const workload = sum(await Promise.all(writing));
  inbox.behave();
  onProgress?.('the workload is over, waiting for the last events');
  const history = await withConnection(url, readHistory);
  const transitions = netTransitions(history);
  const expected = groupTold(
    transitions.flatMap((transition) =>
      expectedEvents(transition).map((told) => [`${transition.table}/${transition.key}`, told] as const),
    ),
  );
  const wanted = [...expected.values()].reduce((total, list) => total + list.length, 0);
  await untilQuiet(inbox, wanted);
  const exitCode = await keeper.stop();
  const entities = await withConnection(`${server.url}/${store}`, readEntities);
  return {
    ...compare(expected, groupDelivered(inbox, entities)),
    faults,
    daemon: { ...keeper.counts },
    workload,
    changes: history.length,
    transitions: transitions.length,
    expected: wanted,
    outbox: await withConnection(`${server.url}/${store}`, countOutbox),
    delivered: inbox.accepted.size,
    copies: inbox.copies,
    unverified: inbox.unverified,
    exitCode,
  };
}

/** Holds the writers back while the delivery is far behind; an estimate is enough. */
function createThrottle(url: string, inbox: Inbox): { room(signal: AbortSignal): Promise<void> } {
  let recorded = 0;
  let checkedAt = -Infinity;
  return {
    async room(signal) {
      for (;;) {
        if (monotonicMs() - checkedAt > 1_000) {
          checkedAt = monotonicMs();
          recorded = await withConnection(url, lastSeq).catch(() => recorded);
        }
        // About one and a half events come of a recorded row.
        if (signal.aborted || recorded * 1.3 - inbox.accepted.size < backlog) return;
        await sleep(100, signal);
      }
    },
  };
}

async function lastSeq(connection: Connection): Promise<number> {
  const [rows] = await connection.query<RowDataPacket[]>('SELECT COUNT(*) AS recorded FROM chaos_history');
  return Number(rows[0]!['recorded']);
}

/** Until everything has come, or nothing comes any more; then a moment longer, for what should not come. */
async function untilQuiet(inbox: Inbox, wanted: number): Promise<void> {
  let seen = -1;
  let changedAt = monotonicMs();
  for (;;) {
    if (inbox.accepted.size !== seen) {
      seen = inbox.accepted.size;
      changedAt = monotonicMs();
    }
    const patienceMs = seen >= wanted ? 2_000 : idleMs;
    if (monotonicMs() - changedAt > patienceMs) return;
    await sleep(100);
  }
}

async function readEntities(connection: Connection): Promise<Map<string, string>> {
  const [rows] = await connection.query<RowDataPacket[]>(
    "SELECT id, CONCAT(entity_table, '/', entity_key COLLATE utf8mb4_bin) AS entity FROM event_log",
  );
  return new Map(rows.map((row) => [String(row['id']), String(row['entity'])]));
}

async function countOutbox(connection: Connection): Promise<ChaosReport['outbox']> {
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT COUNT(*) AS events, COUNT(DISTINCT id) AS ids, (SELECT COUNT(*) FROM queue) AS queued' +
      // Our own events (a cascade that the log does not show) are no changes of the history.
      ' FROM event_log WHERE type NOT IN (?)',
    [systemEventTypes],
  );
  const { events, ids, queued } = rows[0]!;
  return { events: Number(events), ids: Number(ids), queued: Number(queued) };
}

function groupTold(entries: readonly (readonly [entity: string, told: Told])[]): Map<string, Told[]> {
  const groups = new Map<string, Told[]>();
  for (const [entity, told] of entries) {
    const group = groups.get(entity);
    if (group) group.push(told);
    else groups.set(entity, [told]);
  }
  return groups;
}

function groupDelivered(inbox: Inbox, entities: ReadonlyMap<string, string>): Map<string, Delivered[]> {
  return Map.groupBy(inbox.accepted.values(), ({ id }) => entities.get(id) ?? 'not in the outbox');
}

function sum(counts: readonly WorkloadCounts[]): WorkloadCounts {
  const total: WorkloadCounts = { committed: 0, rolledBack: 0, failed: 0 };
  for (const each of counts) {
    total.committed += each.committed;
    total.rolledBack += each.rolledBack;
    total.failed += each.failed;
  }
  return total;
}

async function withConnection<T>(url: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await createConnection({ uri: url, charset: 'utf8mb4', multipleStatements: true });
  try {
    return await work(connection);
  } finally {
    connection.destroy();
  }
}
