import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { serverVariants } from '../../src/demo/server-binaries.ts';
import { scales, VoidRun, type Bench, type Finding, type Measure, type Scale } from './measure.ts';
import { startPart, type PartOptions } from './part.ts';
import { renderFindings, renderLine, renderMarkdown } from './report.ts';
import { map, skip } from './skip-and-map.ts';
import { captureMeasure } from './capture.ts';
import { claimCost } from './claim-cost.ts';
import { coldStart } from './cold-start.ts';
import { deliver } from './deliver.ts';
import { endToEnd } from './end-to-end.ts';
import { fairness } from './fairness.ts';
import { hugeTransaction } from './huge-transaction.ts';
import { latency } from './latency.ts';
import { verify } from './verify.ts';
import { writeRate } from './write-rate.ts';

const measures: readonly Measure[] = [
  skip,
  map,
  captureMeasure,
  deliver,
  endToEnd,
  latency,
  fairness,
  writeRate,
  hugeTransaction,
  claimCost,
  coldStart,
  verify,
];

const usage = `npm run bench -- [--only ${measures.map(({ name }) => name).join(',')}] [--rounds 5] [--scale ${scales.join('|')}]
  [--server ${serverVariants.join('|')}] [--json FILE] [--markdown] [--profile FOLDER]
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: 'normal' },
    server: { type: 'string', default: 'mysql' },
    json: { type: 'string' },
    markdown: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

/** As durable as a server can be, with enough memory that only commits access its disk. */
const settings = [
  'sync-binlog=1',
  'innodb-flush-log-at-trx-commit=1',
  'innodb-buffer-pool-size=1G',
  'max-allowed-packet=64M',
];

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

interface Session {
  server: PrivateServer;
  root: Connection;
  scale: Scale;
  rounds: number;
}

function createBench({ server, root, scale, rounds }: Session, stack: AsyncDisposableStack): Bench {
  const query: Bench['query'] = async (sql) => {
    const [rows] = await root.query<RowDataPacket[]>(sql);
    return Array.isArray(rows) ? rows : [];
  };
  return {
    server,
    scale,
    rounds,
    profileDir: values.profile,
    query,
    progress: (message) => void process.stderr.write(`    ${message}\n`),
    defer: (end) =>
      stack.defer(async () => {
        await end();
      }),
    async part<V>(module: string, factory: string, options: { profiled?: boolean } = {}) {
      const wanted: PartOptions = {
        module,
        factory,
        profileDir: options.profiled === true ? values.profile : undefined,
      };
      const part = await startPart<V>(wanted);
      stack.defer(() => part.stop());
      return part;
    },
    async schema(prefix) {
      const name = `${prefix}_${randomBytes(4).toString('hex')}`;
      await query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
      stack.defer(async () => {
        await query(`DROP DATABASE IF EXISTS ${name}`);
      });
      return { name, url: `${server.url}/${name}` };
    },
  };
}

/** Runs one measure and stops everything that it started. Returns an error message instead of findings if the run is void or fails. */
async function runMeasure(measure: Measure, session: Session): Promise<Finding[] | string> {
  await using stack = new AsyncDisposableStack();
  try {
    return await measure.run(createBench(session, stack));
  } catch (error) {
    return error instanceof VoidRun ? error.message : ((error as Error).stack ?? String(error));
  }
}

async function main(): Promise<void> {
  const wanted = values.only?.split(',') ?? measures.map(({ name }) => name);
  const unknown = wanted.filter((name) => !measures.some((measure) => measure.name === name));
  const scale = scales.find((each) => each === values.scale);
  if (values.help || unknown.length > 0 || !scale) {
    print(usage);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  await using stack = new AsyncDisposableStack();
  const variant = serverVariants.find((each) => each === values.server);
  if (variant === undefined) throw new Error(`--server is one of ${serverVariants.join(', ')}`);
  const server = await startPrivateServer({ flavour: variant, settings, onProgress: print });
  stack.defer(() => server.stop());
  const root = await createConnection({ uri: `${server.url}/mysql`, multipleStatements: true });
  stack.defer(() => root.end());
  const conditions = {
    cpu: `${cpus().length} × ${cpus()[0]!.model}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    server: `${server.flavour} ${server.version}`,
    settings,
    rounds: Number(values.rounds),
    scale,
    at: new Date().toISOString(),
  };
  print(JSON.stringify(conditions));
  const findings: Finding[] = [];
  const voided: Record<string, string> = {};
  for (const measure of measures.filter(({ name }) => wanted.includes(name))) {
    process.stderr.write(`  ${measure.name}\n`);
    const result = await runMeasure(measure, { server, root, scale, rounds: Number(values.rounds) });
    if (typeof result === 'string') {
      voided[measure.name] = result;
      process.stderr.write(`    VOID ${result}\n`);
    } else {
      findings.push(...result);
      for (const finding of result) process.stderr.write(`    ${renderLine(finding)}\n`);
    }
  }
  print((values.markdown ? renderMarkdown : renderFindings)(findings));
  for (const [name, message] of Object.entries(voided)) print(`VOID ${name}: ${message}`);
  if (Object.keys(voided).length > 0) process.exitCode = 1;
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify({ conditions, findings, voided }, null, 2)}\n`);
}

await main();
