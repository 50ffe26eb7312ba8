import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { format, resolveConfig } from 'prettier';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { rulesFile } from '../../src/event/rule/rule-spec.ts';

const folder = join(import.meta.dirname, '../../config');
const schemaFile = join(folder, 'schema/events.schema.json');
const schema = {
  $id: 'events.schema.json',
  title: 'odontology-webhooks: events and the rules by which they fire',
  ...z.toJSONSchema(rulesFile, { io: 'input', target: 'draft-07' }),
};
const validate = new Ajv({ strict: true, allowUnionTypes: true }).compile(schema);

const ruleFiles = [
  'events.yaml',
  ...readdirSync(join(folder, 'examples'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('events.yaml'))
    .map((name) => `examples/${name}`),
];

describe('the JSON schema of rules', () => {
  it('is the one that is shipped (`npm run schemas` writes it)', async () => {
    const options = { ...(await resolveConfig(schemaFile)), filepath: schemaFile };
    await expect(await format(JSON.stringify(schema), options)).toMatchFileSnapshot(schemaFile);
  });

  it.each(ruleFiles)('accepts %s, which names it', (name) => {
    const content = readFileSync(join(folder, name), 'utf8');
    expect(validate(parse(content)), JSON.stringify(validate.errors)).toBe(true);
    const [, named = ''] = /^# yaml-language-server: \$schema=(.+)\n/.exec(content) ?? [];
    expect(join(folder, name, '..', named)).toBe(schemaFile);
  });

  it.each([
    'evnts: {}',
    'events: { a: { table: t, data: {} } }',
    'events: { a.b: { tabel: t, data: {} } }',
    'events: { a.b: { table: t, on: inserted, data: {} } }',
    'events: { a.b: { table: t, when: { c: { becoms: x } }, data: {} } }',
    'events: { a.b: { table: t, data: { n: { lookup: t, by: { id: id } } } } }',
  ])('refuses %s', (content) => {
    expect(validate(parse(content))).toBe(false);
  });
});
