import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/types.ts';
import { AppError } from '../../src/lib/errors.ts';

/** A folder of the present test's own; `write` returns the path of the file. */
export function makeFolder(): { path: string; write(name: string, content: string | Uint8Array): string } {
  const path = mkdtempSync(join(tmpdir(), 'odontology-webhooks-config-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return {
    path,
    write(name, content) {
      const file = join(path, name);
      writeFileSync(file, content);
      return file;
    },
  };
}

export const secret = `whsec_${'0123456789abcdef'.repeat(4)}`;

/** What the files of these tests take from the environment. */
export const environment = {
  SOURCE_DATABASE_URL: 'mysql://reader:pa%2Fss@db.clinic.test:3307/ontology_db',
  WEBHOOK_SECRET: secret,
};

/** Loads a file with this content. */
export function loadText(content: string, env: Record<string, string> = environment): Config {
  return loadConfig(makeFolder().write('webhooks.yaml', content), env);
}

/** What is thrown, which must be one of our errors. */
export function refusal(work: () => unknown): AppError {
  try {
    work();
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('It was not refused.');
}

/** The lines of the refusal of a file with this content, without the path of the folder. */
export function problemsOf(content: string, env: Record<string, string> = environment): string[] {
  const file = makeFolder().write('webhooks.yaml', content);
  const error = refusal(() => loadConfig(file, env));
  return error.message.split('\n').map((line) => line.replace(file, 'webhooks.yaml'));
}
