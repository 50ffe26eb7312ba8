import { createConnection } from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import { runPreflight, type CheckResult } from '../../src/binlog/preflight/preflight.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { startPrivateServer } from '../../src/demo/private-server.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { servers } from '../support/server.ts';

/** Lines of my.cnf, of which a check says what to do with them before the next start. */
const triggers: Readonly<Record<string, readonly string[]>> = {
  'log-bin': ['skip-log-bin'],
  'schema-logged: ignored': ['binlog_ignore_db = clinica'],
  'schema-logged: another alone': ['binlog_do_db = otra'],
};

/** What the file has after the lines are removed and added that a remedy names. */
function edit(lines: readonly string[], remedy: string): string[] {
  const removed = /^Remove the line (\S+ = \S+) from my\.cnf/.exec(remedy)?.[1];
  const added = /^Add the line (\S+ = \S+) under \[mysqld\]/.exec(remedy)?.[1];
  const listed = remedy.startsWith('Under [mysqld]') ? remedy.split('\n').slice(1) : [];
  return [...lines.filter((line) => line !== removed), ...(added === undefined ? [] : [added]), ...listed];
}

describe.each(servers)('the lines of my.cnf that check prints on %s', { timeout: 120_000 }, (variant) => {
  /** Starts a server with the lines, and checks the schema `clinica` on it. */
  async function checkWith(lines: readonly string[], id: string): Promise<CheckResult> {
    const settings = lines.map((line) => line.replace(' = ', '='));
    const server = await startPrivateServer({ flavour: variant, settings });
    const root = await createConnection({ uri: server.url, multipleStatements: true });
    const source = openSource(parseDatabaseUrl(`${server.url}/clinica`));
    try {
      await root.query('CREATE DATABASE clinica; CREATE TABLE clinica.citas (id INT PRIMARY KEY, n INT)');
      const { checks } = await runPreflight({ source, watch: new Map([['citas', new Set(['n'])]]) });
      return checks.find((check) => check.id === id)!;
    } finally {
      await source.close();
      root.destroy();
      await server.stop();
    }
  }

  it.each(Object.entries(triggers))('end the complaint of %s at the next start', async (name, lines) => {
    const id = name.replace(/:.*/, '');
    const complaint = await checkWith(lines, id);
    expect(complaint.level).toBe('fail');
    const edited = edit(lines, complaint.remedy!);
    expect(edited).not.toEqual(lines);
    expect(await checkWith(edited, id)).toMatchObject({ level: 'pass' });
  });
});
