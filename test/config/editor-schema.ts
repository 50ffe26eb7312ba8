import { readFileSync } from 'node:fs';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { z } from 'zod';
import { createConfigSchema } from '../../src/config/setting/schema.ts';

interface JsonSchema {
  [keyword: string]: unknown;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
}

/**
 * The JSON schema of a configuration file, for editors: the same definition that checks it, with the comments of
 * `config/default.yaml` as descriptions and its values as defaults. What has a default may be left out.
 */
export function configJsonSchema(): object {
  const schema = z.toJSONSchema(createConfigSchema('.'), { io: 'input', target: 'draft-07' }) as JsonSchema;
  const defaults = parseDocument(
    readFileSync(new URL('../../config/default.yaml', import.meta.url), 'utf8'),
  ).contents;
  if (!isMap(defaults)) throw new TypeError('config/default.yaml is not a map');
  document(schema, defaults);
  const settings = defaults.get('webhook_defaults');
  const webhook = schema.properties?.['webhooks']?.items;
  if (webhook && isMap(settings)) document(webhook, settings);
  return { ...schema, title: 'odontology-webhooks configuration' };
}

/** Writes comments and values of a map of defaults into the schema of that map. */
function document(schema: JsonSchema, defaults: YAMLMap): void {
  defaults.items.forEach((pair, index) => {
    const key = keyOf(pair);
    const property = schema.properties?.[key];
    if (property === undefined)
      throw new TypeError(`config/default.yaml has a key ${key} that the schema lacks`);
    // The comment of a map's first key is kept with the map.
    const comment = (index === 0 ? defaults.commentBefore : undefined) ?? commentOf(pair);
    property['description'] ??= tidy(comment ?? '');
    if (isMap(pair.value) && property.properties) document(property, pair.value);
    else property['default'] = (pair.value as { toJSON(): unknown }).toJSON();
    schema.required = schema.required?.filter((required) => required !== key) ?? [];
  });
  if (schema.required?.length === 0) delete schema.required;
}

function keyOf({ key }: Pair): string {
  return isScalar(key) ? String(key.value) : '';
}

function commentOf({ key }: Pair): string | undefined {
  return isScalar(key) ? (key.commentBefore ?? undefined) : undefined;
}

/** One paragraph of a comment, without examples: the last one, as the first may introduce the whole file. */
function tidy(comment: string): string {
  const lines =
    comment
      .split(/\n\s*\n/)
      .at(-1)
      ?.split('\n') ?? [];
  const isExample = (line: string) => line.startsWith('   ');
  return lines
    .filter((line) => !isExample(line))
    .map((line) => line.trim())
    .join(' ')
    .replace(/:$/, '.');
}
