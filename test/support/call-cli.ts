import { vi } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { wideColumns, type CliResult } from './daemon.ts';

/** Runs one command line in this process, because a process for each would cost seconds. One call at a time. */
export async function callCli(...args: readonly string[]): Promise<CliResult> {
  const output = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk, encoding, written) => {
      output[name] += String(chunk);
      (typeof encoding === 'function' ? encoding : written)?.();
      return true;
    }),
  );
  process.exitCode = undefined;
  const columns = process.env['COLUMNS'];
  process.env['COLUMNS'] ??= wideColumns;
  try {
    return { code: await main(args), ...output };
  } finally {
    process.exitCode = undefined;
    if (columns === undefined) delete process.env['COLUMNS'];
    for (const spy of spies) spy.mockRestore();
  }
}
