import { readHead } from '../audit/head.ts';
import { maximumEntries, sealOnce, type SealVault } from '../audit/seal.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { createLoop, type Background } from '../lib/loop.ts';

export interface SealingOptions {
  vault: SealVault;
  intervalMs: number;
  log: Log;
}

/** Seals what is new in the log at every interval, at once while there is more. Of several processes one does. */
export function createSealing({ vault, intervalMs, log }: SealingOptions): Background {
  let told = false;
  return createLoop({
    async step() {
      const seal = await sealOnce(vault);
      if (!told && seal) {
        const head = await readHead(vault.store);
        log.info(
          { seal: seal.number, fingerprint: head?.fingerprint },
          'the log is sealed with this key: note it elsewhere',
        );
        told = true;
      }
      return seal && seal.entries >= maximumEntries ? 0 : intervalMs;
    },
    onError: (error) => log.warn({ error: messageOf(error) }, 'the log could not be sealed, trying again'),
  });
}
