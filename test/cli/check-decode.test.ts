import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeResult, formatDecode } from '../../src/cli/check/decode.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { runCli, writeConfig, type CliResult } from '../support/daemon.ts';
import { createSchema, flavours, type TestSchema } from '../support/server.ts';

describe.each(flavours)('check --decode, on %s', (flavour) => {
  let server: PrivateServer;
  let clinic: TestSchema;
  /** MariaDB's log has whole seconds. */
  const begin = new Date(systemClock.now() - 1_000).toISOString();
  beforeAll(async () => {
    // Of its own: other tests log statements, before which a comparison ends.
    server = await startPrivateServer({ flavour });
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
  });
  afterAll(async () => {
    await clinic.drop();
    await server.stop();
  });

  async function check(...args: string[]): Promise<CliResult> {
    const config = await writeConfig('source: { url: "${env:SOURCE}" }\n');
    const result = await runCli(['check', '--config', config.file, ...args], { SOURCE: clinic.url() });
    await config.remove();
    return result;
  }

  it('says that the log has no row to compare', async () => {
    const { stdout, code } = await check('--decode', '--since', '0s');
    expect(stdout).toMatch(/^skip +Decoder, compared with zongji +The log has no row of the watched tables/m);
    expect(code).toBe(0);
  });

  it('compares every cell of the rows of the clinic', async () => {
    const { stdout, stderr, code } = await check('--decode', '--since', begin);
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    const rows = await clinic.query('SELECT * FROM patients');
    const cells = rows.length * Object.keys(rows[0]!).length;
    expect(stdout).toMatch(
      /^pass +Decoder, compared with zongji +\d+ rows and \d+ cells of \d+ tables read alike, from /m,
    );
    expect(stdout).toMatch(new RegExp(`^${clinic.name}\\.patients +${rows.length} +${cells} *$`, 'm'));
  });

  it('prints JSON with underscored names, and keeps to --rows', async () => {
    const { stdout, code } = await check('--decode', '--since', begin, '--json', '--rows', '1');
    expect(code).toBe(0);
    const { decode, checks } = JSON.parse(stdout) as {
      decode: Record<string, unknown>;
      checks: { id: string }[];
    };
    expect(checks.at(-1)).toMatchObject({ id: 'decode', level: 'pass', remedy: null });
    expect(Object.keys(decode)).toEqual([
      'from',
      'until',
      'reaches_back',
      'stopped_by',
      'compared',
      'tables',
      'without_rows',
      'differences',
      'left_out',
      'unreadable',
    ]);
    expect(decode).toMatchObject({
      stopped_by: 'rows',
      differences: [],
      left_out: { rows: 0, cells: 0, parts: [] },
    });
    expect(decode['without_rows']).toContain('medical_records');
  });

  it.each([
    ['--rows', '0', 'expected'],
    ['--rows', 'x', 'expected'],
    ['--since', 'ayer', '--since must be a duration such as 2h (so long ago), a date'],
  ])('refuses %s %s', async (option, value, message) => {
    const { code, stderr } = await check('--decode', option, value);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('the report of check --decode', () => {
  const place = { file: 'binlog.000001', offset: 4 };
  const checked = {
    from: place,
    until: { file: 'binlog.000002', offset: 900 },
    reachesBack: true,
    stoppedBy: 'end',
    halts: [],
    withoutRows: [],
    tables: { 'c.citas': { rows: 3, cells: 12 } },
    differences: [],
    leftOut: [],
  } as const;

  it('fails at a difference, and names table, column and type', () => {
    const line = decodeResult({
      ...checked,
      halts: [],
      withoutRows: [],
      differences: [{ table: 'c.citas', column: 'hora', type: 'time', count: 2, at: place }],
      leftOut: [],
    });
    expect(line).toMatchObject({ id: 'decode', level: 'fail' });
    expect(line.detail).toBe(
      'c.citas.hora (time): 2 values differ (from binlog.000001:4 to binlog.000002:900).',
    );
  });

  it('warns when zongji did not read all of it', () => {
    const line = decodeResult({
      ...checked,
      halts: [],
      withoutRows: [],
      differences: [],
      leftOut: [],
      stoppedBy: 'time',
    });
    expect(line).toMatchObject({ level: 'warn' });
    expect(line.detail).toContain('The time limit ended it.');
  });

  it('says what was left out, and why', () => {
    const left = { reason: 'year-zero', table: 'c.citas', column: 'a', type: 'year', count: 2 } as const;
    const check = { ...checked, halts: [], withoutRows: [], differences: [], leftOut: [left] };
    expect(decodeResult(check)).toMatchObject({ level: 'pass' });
    expect(decodeResult(check).detail).toContain('Left out: 2 cells.');
    expect(formatDecode(check)).toMatch(/2 cells +c\.citas\.a \(year\) +zongji reads the year 0000 as 1900/);
  });
});
