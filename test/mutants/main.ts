import { spawn } from 'node:child_process';
import { cp, glob, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRandom } from '../chaos/random.ts';
import { equivalents } from './equivalent.ts';
import { findMutants, mutate, type Mutant } from './find-mutants.ts';

const usage = `npm run test:mutants -- [--count 200] [--seed 1] [--jobs 2] [--only GLOB]

Changes one place of a pure module at a time, in a copy of this checkout, and runs the tests that need no server.
`;

/** The modules whose behaviour the tests without a server prove. */
const pure = [
  'src/lib/loop/backoff.ts',
  'src/lib/{duration,exact-json,mask-url,read-ahead,server-error,suggest,terminal-text}.ts',
  'src/change/**/*.ts',
  'src/event/**/*.ts',
  'src/delivery/**/*.ts',
  'src/binlog/gtid/*.ts',
  'src/audit/seal/{merkle,pack}.ts',
];
/** Least share of the mutants that the tests must find. */
const AIM = 0.9;
/** A mutant may make a loop endless: that is found, too. */
const LIMIT_MS = 180_000;

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function collectMutants(): Promise<Mutant[]> {
  const files: string[] = [];
  for (const pattern of values.only === undefined ? pure : [values.only])
    for await (const file of glob(pattern)) files.push(file);
  const perFile = await Promise.all(
    files.toSorted().map(async (file) => findMutants(file, await readFile(file, 'utf8'))),
  );
  return createRandom(Number(values.seed)).shuffled(perFile.flat()).slice(0, Number(values.count));
}

/** A copy of the checkout whose modules may be changed. */
async function copyCheckout(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mutants-'));
  for (const name of [
    'src',
    'test',
    'config',
    'drizzle',
    'package.json',
    'tsconfig.json',
    'vitest.config.ts',
    'README.md',
  ])
    await cp(name, join(folder, name), { recursive: true });
  await symlink(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** Whether a test fails, or the tests do not end. */
async function isFound(folder: string, { file }: Pick<Mutant, 'file'>): Promise<boolean> {
  const child = spawn(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'related',
      file,
      '--run',
      '--project=unit',
      '--bail=1',
      '--maxWorkers=1',
    ],
    { cwd: folder, stdio: 'ignore', detached: true },
  );
  // The runner's workers are in its process group.
  const end = (): boolean => process.kill(-child.pid!, 'SIGKILL');
  const timer = globalThis.setTimeout(end, LIMIT_MS);
  stop.signal.addEventListener('abort', end);
  const code = await new Promise<number | null>((resolve) => child.on('exit', resolve));
  stop.signal.removeEventListener('abort', end);
  clearTimeout(timer);
  return code !== 0;
}

interface Place {
  number: number;
  line: string;
}

function placeOf(text: string, { start }: Mutant): Place {
  const before = text.slice(0, start).split('\n');
  return { number: before.length, line: text.split('\n')[before.length - 1]!.trim() };
}

function reasonOf({ file, replacement }: Mutant, { line }: Place): string | undefined {
  return equivalents.find(
    (each) => each.file === file && each.replacement === replacement && each.line === line,
  )?.why;
}

/** Takes mutants from a list until it is empty; returns the ones that no test found. */
async function work(folder: string, waiting: Mutant[]): Promise<string[]> {
  const survivors: string[] = [];
  for (let mutant = waiting.pop(); mutant && !stop.signal.aborted; mutant = waiting.pop()) {
    const { file, replacement, kind } = mutant;
    const text = await readFile(file, 'utf8');
    const place = placeOf(text, mutant);
    if (reasonOf(mutant, place) !== undefined) continue;
    await writeFile(join(folder, file), mutate(text, mutant));
    const found = await isFound(folder, mutant);
    await writeFile(join(folder, file), text);
    if (found) continue;
    const survivor = `${file}:${place.number} (${kind}) ${place.line}  →  ${replacement}`;
    print(survivor);
    survivors.push(survivor);
  }
  return survivors;
}

async function main(): Promise<void> {
  const mutants = await collectMutants();
  const waiting = [...mutants];
  print(`${mutants.length} mutants, seed ${values.seed}`);
  const folders = await Promise.all(Array.from({ length: Number(values.jobs) }, copyCheckout));
  try {
    if ((await isFound(folders[0]!, { file: 'src/event/types.ts' })) && !stop.signal.aborted)
      throw new Error('The tests fail without a mutant: npm run test:unit');
    const survivors = (await Promise.all(folders.map((folder) => work(folder, waiting)))).flat();
    if (stop.signal.aborted) return;
    const total = mutants.length;
    const share = 1 - survivors.length / total;
    print(`${total - survivors.length} of ${total} found or equivalent (${(share * 100).toFixed(1)} %)`);
    process.exitCode = share >= AIM ? 0 : 1;
  } finally {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  }
}

if (values.help) print(usage);
else await main();
