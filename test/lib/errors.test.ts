import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { errorCatalogue } from '../../src/lib/errors.ts';

it('has every error in the table of the README, and no other', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const table = [...readme.matchAll(/^\| `(ERR_\w+)`\s*\| (\d)/gm)].map(([, code, exit]) => [
    code,
    Number(exit),
  ]);
  expect(table).toEqual(Object.entries(errorCatalogue).map(([code, { exit }]) => [code, exit]));
});
