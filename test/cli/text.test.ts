import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formatReport } from '../../src/cli/check/report.ts';
import { formatFacts, formatTable } from '../../src/cli/terminal/table.ts';
import { forTerminal, styled } from '../../src/cli/terminal/styled.ts';
import { widthOf } from '../../src/cli/terminal/terminal.ts';
import { wrapProse, wrapText } from '../../src/cli/terminal/wrap.ts';

const widest = (text: string): number => Math.max(...text.split('\n').map(widthOf));
const sentence =
  'The log is kept for two days only, and a daemon that stands still for longer loses changes. ';

describe('a table in colours', () => {
  it('is as wide as without them', () => {
    const draw = (): string =>
      formatTable(
        ['', 'check', 'finding'],
        [
          [
            styled('green', 'pass'),
            'Log format',
            'Changes are logged as rows, whatever the session of the application sets.',
          ],
        ],
      );
    vi.stubEnv('COLUMNS', '80');
    vi.stubEnv('NO_COLOR', '1');
    vi.stubEnv('FORCE_COLOR', undefined);
    const plain = draw();
    vi.stubEnv('NO_COLOR', undefined);
    vi.stubEnv('FORCE_COLOR', '1');
    const coloured = draw();
    vi.unstubAllEnvs();
    expect(coloured).not.toBe(plain);
    expect(stripVTControlCharacters(forTerminal(coloured))).toBe(plain);
  });
});

describe('text for a terminal of 80 columns', () => {
  const before = process.env['COLUMNS'];
  beforeEach(() => {
    process.env['COLUMNS'] = '80';
  });
  afterEach(() => {
    if (before === undefined) delete process.env['COLUMNS'];
    else process.env['COLUMNS'] = before;
  });

  it('has tables that fit: cells are wrapped at their spaces', () => {
    const table = formatTable(
      ['id', 'what'],
      [
        [1, sentence.repeat(3)],
        [2, null],
      ],
    );
    expect(widest(table)).toBeLessThanOrEqual(80);
    expect(table.split('\n')[1]).toMatch(/^1 {3}The log is kept/);
    expect(table.split('\n').at(-1)).toBe('2   –');
    expect(table.replaceAll(/\s+/g, ' ')).toContain(sentence.trim());
  });

  it('lists the cells of a row below each other where its words do not fit, and breaks none that fits a line', () => {
    const url = `https://example.com/${'x'.repeat(40)}`;
    const table = formatTable(['id', 'url', 'event'], [[1, url, 'appointment.confirmed.by-the-patient']]);
    expect(widest(table)).toBeLessThanOrEqual(80);
    expect(table).toContain(`url    ${url}`);
    expect(widest(formatTable(['id', 'url'], [[1, `https://${'y'.repeat(300)}`]]))).toBeLessThanOrEqual(80);
  });

  it('breaks long words of facts, such as a set of GTIDs', () => {
    const gtids = '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,'.repeat(5);
    const facts = formatFacts([
      ['position', gtids],
      ['lag', null],
    ]);
    expect(widest(facts)).toBeLessThanOrEqual(80);
    expect(facts.replaceAll(/\n +/g, '')).toContain(gtids);
  });

  it('counts wide characters and emoji as two cells, and colours as none', () => {
    expect([
      widthOf('診療所'),
      widthOf('clínica ñ'),
      widthOf('✅'),
      widthOf('\u001b[32mpass\u001b[39m'),
    ]).toEqual([6, 9, 2, 4]);
    expect(widest(formatTable(['', 'name'], [['x', '診療所 '.repeat(40)]]))).toBeLessThanOrEqual(80);
    expect(widest(wrapText('診'.repeat(90), 80, { breaksWords: true }))).toBe(80);
  });

  it('keeps the indentation of sentences, and leaves statements and commands on their line', () => {
    const statement = `GRANT SELECT ON \`${'s'.repeat(60)}\`.* TO 'a'@'%'; -- once`;
    const command = `odontology-webhooks resume --accept-gap --reason "${'why '.repeat(30)}"`;
    const text = wrapProse(`${statement}\n${command}\n-- ${sentence}\n  ${sentence}`, 80).split('\n');
    expect(text.slice(0, 2)).toEqual([statement, command]);
    expect(text.slice(2).every((line) => widthOf(line) <= 80)).toBe(true);
    expect(text.filter((line) => line.startsWith('-- '))).toHaveLength(2);
    expect(text.filter((line) => line.startsWith('  '))).toHaveLength(2);
  });

  it('has a report of checks whose findings stand below the table', () => {
    const check = { id: 'x', title: 'Changes that the source itself replicates', remedy: null };
    const report = formatReport({
      ok: false,
      server: `MariaDB 10.11.18 at ${'h'.repeat(50)}.example.com:3306, schema ontology_db`,
      checks: [
        { ...check, level: 'pass', detail: `All. ${sentence}` },
        { ...check, level: 'warn', detail: sentence.repeat(4), remedy: 'SET GLOBAL sync_binlog = 1;' },
        {
          ...check,
          level: 'fail',
          detail: `${sentence}\n/etc/${'very-long-'.repeat(12)}.yaml:1:1`,
          remedy: sentence,
        },
      ],
    });
    expect(widest(report)).toBeLessThanOrEqual(80);
    expect(report).toMatch(/^pass {2}Changes that the source itself replicates {2}All\.$/m);
    expect(report).toMatch(/^SET GLOBAL sync_binlog = 1;$/m);
    expect(report.indexOf('fail  Changes', report.indexOf('Remedy'))).toBe(-1);
  });
});
