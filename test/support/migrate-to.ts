import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { applyMigrations } from '../../src/db/schema/apply-migrations.ts';
import type { TestSchema } from './server.ts';

export const migrations = new URL('../../drizzle/', import.meta.url);

/** Migrates the store with only the first `count` migrations. */
export async function migrateTo(schema: TestSchema, count: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await cp(migrations, folder, { recursive: true });
  const journalFile = join(folder, 'meta/_journal.json');
  const journal = JSON.parse(await readFile(journalFile, 'utf8')) as { entries: unknown[] };
  journal.entries = journal.entries.slice(0, count);
  await writeFile(journalFile, JSON.stringify(journal));
  await applyMigrations(await schema.connect(), folder);
}
