#!/usr/bin/env node
// The one entry. In a checkout it runs the TypeScript sources, which Node 24 does by itself; in a published package, where Node
// strips no types below node_modules, it runs the build. Plain JavaScript, so that an old Node can still say what is wrong.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';

const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(
    `odontology-webhooks needs Node 24 or later, this is ${process.version}.\n` +
      'In a checkout: npm run -s odontology-webhooks -- COMMAND (npm ci brings Node 24 into node_modules/.bin).\n',
  );
  process.exit(1);
}
// V8 lets garbage lie for as long as the machine has memory: while 100,000 rows passed in one transaction it took 330 MB, of
// which about 44 were in use. So the old generation grows by 15 % at most (100,000 changes of key: 211 to 218 MiB, one run on each of two
// servers; 217 to 231 with 30 %, two runs; in a busy suite 30 % passed 256 once), and the young one to twice 8 MB. With 1 MB, the most
// that can be set once V8 has begun, garbage was collected four times as often as with 4, for a seventh of the daemon's processor
// time; with 4, what is being sent to five subscribers outlives too many collections (8 % more time than with 8, nine runs each);
// with 16, 200,000 rows in one transaction took 250 MB instead of 216, one run each.
const youngGeneration = '--max-semi-space-size=8';
const { argv, env, execArgv, execPath } = process;
if (argv[2] === 'run' && process.execve && !execArgv.includes(youngGeneration))
  // glibc opens up to eight heaps a processor and gives their free memory back late: with two of them, the daemon that compared the
  // log with zongji, in a thread that has ended since, takes 20 MB less (six runs each) and no more processor time.
  process.execve(execPath, [execPath, youngGeneration, ...execArgv, ...argv.slice(1)], {
    MALLOC_ARENA_MAX: '2',
    ...env,
  });
if (!execArgv.includes(youngGeneration)) setFlagsFromString('--semi-space-growth-factor=1');
setFlagsFromString('--heap-growing-percent=15');
// Compiled code is kept from one start to the next: compiling takes two fifths of a start. Without a home directory there is no cache.
const cache = env['XDG_CACHE_HOME'] || (env['HOME'] && join(env['HOME'], '.cache'));
if (cache) module.enableCompileCache(join(cache, 'odontology-webhooks', 'compiled'));
const source = new URL('./entry.ts', import.meta.url);
const { runProcess } = await import(
  existsSync(source) ? source.href : new URL('../../dist/cli/entry.js', import.meta.url).href
);
await runProcess(process.argv.slice(2));
