import { describe, expect, it } from 'vitest';
import { problemsOf, refusal, loadText, secret } from './folder.ts';

const many = (count: number, line: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => line(n)).join('');

const webhook = (lines: string): string =>
  `webhooks:\n  - name: a\n    url: https://a.example\n    events: ["*"]\n    secret: ${secret}\n${lines}`;

/** Each took from half a minute to the whole stack, or would; the timeout of a test is the bound. */
describe('a file that a program wrote', () => {
  it.each([
    ['20,000 unknown keys', many(20_000, (n) => `key${n}: 1\n`), 'key0: is not a known key'],
    [
      '20,000 unknown keys of a section',
      `http:\n${many(20_000, (n) => `  k${n}: 1\n`)}`,
      'http.k0: is not a known key',
    ],
    ['20,000 times one key', many(20_000, () => 'http: {}\n'), 'this key stands twice'],
    ['20,000 anchors', many(20_000, (n) => `k${n}: &a${n} 1\n`), 'k0: is not a known key'],
    [
      '20,000 headers',
      webhook(`    headers:\n${many(20_000, (n) => `      h${n}: v\n`)}`),
      'more than 100 entries',
    ],
    [
      '20,000 filters',
      webhook(`    filter:\n${many(20_000, (n) => `      f${n}: 1\n`)}`),
      'more than 100 entries',
    ],
    [
      '20,000 events',
      webhook('').replace('["*"]', `[${many(20_000, (n) => `a.e${n},`)}]`),
      'names more than 1000 events',
    ],
    ['150,000 values', `http: [${many(150_000, () => '1,')}]`, 'more than 100000 values'],
    ['70 levels', `http: ${'['.repeat(70)}${']'.repeat(70)}`, 'more than 64 levels'],
    ['70 levels of blocks', many(70, (n) => `${' '.repeat(n)}a:\n`), 'more than 64 levels'],
    ['20,000 levels of lists', `http: ${'['.repeat(20_000)}${']'.repeat(20_000)}`, 'more than 64 levels'],
    ['20,000 levels of maps', `http: ${'{a: '.repeat(20_000)}1${'}'.repeat(20_000)}`, 'more than 64 levels'],
    ['20,000 levels that do not end', `http: ${'['.repeat(20_000)}`, 'more than 64 levels'],
    ['5 MB', `# ${'x'.repeat(5_000_000)}\n`, 'larger than 4 MiB'],
  ])('is refused: %s', (_, text, words) => {
    const error = refusal(() => loadText(text));
    expect(error.code).toBe('ERR_CONFIG');
    expect(error.message).toContain(words);
    expect(error.message.split('\n').length).toBeLessThanOrEqual(100);
  });

  it('is read where a clinic could have written it: 60 levels apart from what is known, and 100 headers', () => {
    expect(problemsOf(`x: ${'['.repeat(60)}${']'.repeat(60)}`).join()).toContain('x: is not a known key');
    const config = loadText(webhook(`    headers:\n${many(100, (n) => `      h${n}: v\n`)}`));
    expect(Object.keys(config.webhooks[0]!.headers)).toHaveLength(100);
  });

  it('may merge more than one map', () => {
    expect(problemsOf('a: &a { x: 1 }\nb: &b { y: 2 }\nc: { <<: *a, <<: *b }').join()).not.toContain('twice');
  });
});
