import { createWriteStream } from 'node:fs';
import { parseArgs } from 'node:util';

import { serverVariants, type ServerVariant } from '../../src/demo/server-binaries.ts';
import { runChaos, type ChaosReport } from './chaos.ts';

const usage = `npm run test:chaos -- [--minutes 1] [--seed N] [--server ${serverVariants.join('|')}] [--gtid on|off] [--pause MS] [--log FILE]
`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(process.pid) },
    server: { type: 'string' },
    gtid: { type: 'string', default: 'on' },
    pause: { type: 'string', default: '3000' },
    log: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** All of them, unless one is named. */
function selectServers(named: string | undefined): readonly ServerVariant[] {
  if (named === undefined) return serverVariants;
  const selected = serverVariants.filter((variant) => variant === named);
  if (selected.length === 0) throw new Error(`--server is one of ${serverVariants.join(', ')}`);
  return selected;
}

function isSound({
  lost,
  doubled,
  invented,
  outOfOrder,
  unverified,
  exitCode,
  outbox,
}: ChaosReport): boolean {
  return (
    lost + doubled + invented + outOfOrder + unverified + (exitCode ?? 1) === 0 &&
    outbox.events === outbox.ids &&
    outbox.queued === 0
  );
}

if (values.help) {
  print(usage);
} else {
  const log = values.log === undefined ? undefined : createWriteStream(values.log);
  for (const variant of selectServers(values.server)) {
    print(`${variant}, seed ${values.seed}, gtid ${values.gtid}, ${values.minutes} min`);
    const { examples, ...counts } = await runChaos({
      variant,
      seed: Number(values.seed),
      durationMs: Number(values.minutes) * 60_000,
      gtid: values.gtid === 'on',
      meanPauseMs: Number(values.pause),
      onProgress: print,
      onLine: (line) => log?.write(`${line}\n`),
    });
    for (const [name, value] of Object.entries(counts)) {
      const text =
        typeof value === 'object' && value !== null
          ? Object.entries(value)
              .map(([key, count]) => `${key} ${count}`)
              .join(', ')
          : String(value);
      print(`  ${name.padEnd(12)} ${text}`);
    }
    for (const example of examples) print(`  ! ${example}`);
    if (!isSound({ examples, ...counts })) process.exitCode = 1;
  }
}
