import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { format, resolveConfig } from 'prettier';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configJsonSchema } from './editor-schema.ts';

const folder = join(import.meta.dirname, '../../config');
const schemaFile = join(folder, 'schema/odontology-webhooks.schema.json');
const schema = configJsonSchema();
const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
const validate = ajv.compile(schema);

/** Where the schema finds something wrong with a file of this content. */
function refused(content: string): string[] {
  validate(parse(content));
  return [...new Set(validate.errors?.map(({ instancePath }) => instancePath))];
}

describe('the JSON schema of the configuration', () => {
  it('is the one that is shipped (`npm run schemas` writes it)', async () => {
    const options = { ...(await resolveConfig(schemaFile)), filepath: schemaFile };
    await expect(await format(JSON.stringify(schema), options)).toMatchFileSnapshot(schemaFile);
  });

  it.each(['default.yaml', 'odontology-webhooks.example.yaml'])('accepts %s, which names it', (name) => {
    const content = readFileSync(join(folder, name), 'utf8');
    expect(refused(content)).toEqual([]);
    const [, named = ''] = /^# yaml-language-server: \$schema=(.+)\n/.exec(content) ?? [];
    expect(join(folder, named)).toBe(schemaFile);
  });

  it('lets everything be left out but what has no default', () => {
    expect(refused('{}')).toEqual([]);
    expect(refused('webhooks: [{ name: a }]')).toEqual(['/webhooks/0']);
  });

  it('accepts a reference to the environment in the place of any value', () => {
    expect(refused("{ delivery: { concurrency: '${env:N}' }, log: { level: '${env:L}' } }")).toEqual([]);
  });

  it.each([
    ['sorce: {}', ''],
    ['delivery: { timeout: 5s }', '/delivery'],
    ['source: { heartbeat: 5 }', '/source/heartbeat'],
    ['delivery: { retry_schedule: [5s, 5] }', '/delivery/retry_schedule/1'],
    ['log: { level: loud }', '/log/level'],
  ])('marks %s', (content, place) => {
    expect(refused(content)).toContain(place);
  });

  it('describes every key with its comment in default.yaml', () => {
    const text = JSON.stringify(schema);
    const properties = [...text.matchAll(/"description":"([^"\\]*)/g)].map(([, description]) => description);
    expect(properties).toContain('The memory limit of capture when the store is slower than the server.');
    expect(properties).not.toContain('');
  });
});
