import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const usage = `npm run release -- [--out DIR] [--server mysql|mariadb|mariadb-11.8]

Builds and packs this checkout, installs the package in an empty folder and runs the demo from there. The package stays in
DIR (release/ by default). Nothing is published.
`;

interface Manifest {
  name: string;
  version: string;
}

/** The Node that runs this script comes first: the package's command asks the PATH for its Node. */
const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter);

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'release' },
    server: { type: 'string', default: 'mysql' },
    help: { type: 'boolean', default: false },
  },
});

/** Runs a command to its end with its output shown. Throws when it fails. */
async function run(cwd: string, command: string, ...parameters: string[]): Promise<void> {
  process.stdout.write(`\n$ ${[command, ...parameters].join(' ')}\n`);
  const child = spawn(command, parameters, { cwd, stdio: 'inherit', env: { ...process.env, PATH } });
  const { promise, resolve: done, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject).once('exit', done);
  const code = await promise;
  if (code !== 0) throw new Error(`"${command} ${parameters.join(' ')}" ended with ${String(code)}`);
}

/** A release without its section in the changelog would leave operators without the changes of the contract. */
async function requireSection({ version }: Manifest): Promise<void> {
  const changelog = await readFile('CHANGELOG.md', 'utf8');
  if (
    !changelog
      .split('\n')
      .some((line) => line.startsWith(`## [${version}]`) || line.startsWith(`## ${version}`))
  )
    throw new Error(`CHANGELOG.md has no section "## ${version}": add it before a release`);
}

/** Installs the package as its user does, in a folder that has nothing, and runs it there. */
async function tryPackage(file: string, { name }: Manifest): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'release-'));
  try {
    await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
    await run(folder, 'npm', 'install', '--omit=dev', '--no-audit', '--no-fund', file);
    const command = join(folder, 'node_modules', '.bin', name);
    await run(folder, command, '--version');
    await run(folder, command, 'demo', '--server', values.server);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function release(): Promise<void> {
  const manifest = JSON.parse(await readFile('package.json', 'utf8')) as Manifest;
  await requireSection(manifest);
  const out = resolve(values.out);
  await mkdir(out, { recursive: true });
  await rm('dist', { recursive: true, force: true });
  await run('.', 'npm', 'pack', '--pack-destination', out);
  const file = join(out, `${manifest.name}-${manifest.version}.tgz`);
  await tryPackage(file, manifest);
  process.stdout.write(`\n${file} is built, installs, and its demo passes.\n`);
}

if (values.help) process.stdout.write(usage);
else await release();
