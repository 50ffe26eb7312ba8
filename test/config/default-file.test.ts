import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { createConfigSchema } from '../../src/config/setting/schema.ts';
import { environment, makeFolder, secret } from './folder.ts';

const folder = join(import.meta.dirname, '../../config');

describe('config/default.yaml', () => {
  const defaults = parse(readFileSync(join(folder, 'default.yaml'), 'utf8')) as Record<string, object>;

  it('has every key of the schema and no other', () => {
    const keysOf = (name: string, section: unknown) =>
      Object.keys(section as object).map((key) => `${name}.${key}`);
    const { shape } = createConfigSchema(folder);
    const known = Object.entries(shape).flatMap(([name, section]) =>
      'shape' in section ? keysOf(name, section.shape) : [name],
    );
    const written = Object.entries(defaults).flatMap(([name, section]) =>
      'shape' in shape[name as keyof typeof shape] ? keysOf(name, section) : [name],
    );
    expect(written).toEqual(known);
  });

  it('loaded by itself is the same as an empty file', () => {
    const own = loadConfig(join(folder, 'default.yaml'), environment);
    const empty = loadConfig(makeFolder().write('empty.yaml', ''), environment);
    expect({ ...own, file: '', fingerprint: '' }).toEqual({ ...empty, file: '', fingerprint: '' });
  });

  it('explains every key', () => {
    const lines = readFileSync(join(folder, 'default.yaml'), 'utf8').split('\n');
    const unexplained = lines.filter((line, index) => {
      const before = lines[index - 1] ?? '';
      return /^ *[a-z_]+:/.test(line) && !before.trim().startsWith('#');
    });
    expect(unexplained).toEqual([]);
  });
});

describe('config/odontology-webhooks.example.yaml', () => {
  it('loads with the variables that it names', () => {
    const config = loadConfig(join(folder, 'odontology-webhooks.example.yaml'), {
      SOURCE_DATABASE_URL: environment.SOURCE_DATABASE_URL,
      PAYMENTS_WEBHOOK_SECRET: secret,
      ANA_TOKEN_SHA256: 'AB'.repeat(32),
    });
    expect(config.webhooks.map(({ name }) => name)).toEqual(['Payment Notifications']);
    expect(config.http.tokens).toEqual([{ name: 'ana', role: 'admin', sha256: 'ab'.repeat(32) }]);
  });
});
