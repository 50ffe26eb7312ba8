import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, it } from 'vitest';

/** Phrases that hide who does what, or that a technical reader does not expect. Each has a plain word: see the field's terms in the code around it. */
const refused = [
  /\b(?:whoever|nobody|somebody|everybody|as it were|good-bye|seldom)\b/,
  /\b(?:is|are|was|were) told\b/,
  /\btells? of\b/,
  /\bhangs? on\b/,
  /\bbehind (?:its|their) backs?\b/,
  /\bstands? (?:in (?!for)|there\b)/,
  /\b(?:is|be) had\b/,
  /\bmend(?:s|ed)?\b/,
  /\bbreathe\b/,
  /\bgoes on\b/,
  /\bthose that\b/,
  /\bfalls? ill\b/,
  /\bminds? no\b/,
  /\btold (?:of every|when|why)\b/,
  /\btakes? note of\b/,
  /\bas far as they are there\b/,
  /\b(?:receivers? )?knows? us\b/,
  // The name is on no registry: outside a checkout npx would run what another person publishes under it.
  /\bnpx (?:-\S+ )*odontology-webhooks\b/,
];

const root = join(import.meta.dirname, '../..');
const here = relative(root, import.meta.filename);
const folders = ['src', 'test', 'config'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
);
const files = [...folders, 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'].filter(
  (file) => /\.(?:ts|js|ya?ml|md)$/.test(file) && file !== here,
);

it('what people read is in plain English: the phrases above are in no file', () => {
  expect(files.length).toBeGreaterThan(500);
  const found = files.flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        refused
          .map((phrase) => new RegExp(phrase, 'i').exec(line)?.[0])
          .filter((phrase) => phrase !== undefined)
          .map((phrase) => `${file}:${index + 1}: ${phrase}`),
      ),
  );
  expect(found).toEqual([]);
});
