#!/usr/bin/env node
// The one entry. In a checkout it runs the TypeScript sources, which Node 24 does by itself; in a published package, where Node
// strips no types below node_modules, it runs the build. Plain JavaScript, so that an old Node can still say what is wrong.
import { existsSync } from 'node:fs';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';

const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(
    `odontology-webhooks needs Node 24 or later, this is ${process.version}.\n` +
      'In a checkout: npx odontology-webhooks (npm ci brings Node 24 into node_modules/.bin).\n',
  );
  process.exit(1);
}
// V8 lets garbage lie for as long as the machine has memory: while 100,000 rows passed in one transaction it took 330 MB, of
// which about 44 were in use. With a young generation that stays small and an old one that grows by half at most, it peaked at
// 198 to 209 MB. `--optimize-for-size` peaked lower, and took two fifths of the daemon's processor time at ordinary work.
setFlagsFromString('--semi-space-growth-factor=1');
setFlagsFromString('--heap-growing-percent=50');
const source = new URL('./main.ts', import.meta.url);
const { main } = await import(
  existsSync(source) ? source.href : new URL('../../dist/cli/main.js', import.meta.url).href
);
process.exitCode = await main(process.argv.slice(2));
