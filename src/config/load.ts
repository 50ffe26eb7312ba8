import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crossCheck } from './cross-check.ts';
import type { Environment } from './yaml/env.ts';
import { isMap, layer, valueAt } from './yaml/layer.ts';
import { createProblems, problemsError, type YamlPath } from './problems.ts';
import { createConfigSchema } from './setting/schema.ts';
import { toConfig } from './setting/to-config.ts';
import type { Config } from './types.ts';
import { validate } from './setting/validate.ts';
import { readYamlFile } from './yaml/yaml-file.ts';

/** The defaults. The same way up from `src/config` and from `dist/config`. */
const defaultsFile = fileURLToPath(new URL('../../config/default.yaml', import.meta.url));

/**
 * Reads the configuration: the user's file over `config/default.yaml`, with the environment put in, checked whole and frozen.
 * @param file path of the user's file; paths inside it are relative to it.
 * @param env the environment; default: that of the process.
 * @throws AppError ERR_CONFIG, whose message has one line for every problem: `file:line:column key: what is wrong`. No value
 * is ever repeated in it.
 */
export function loadConfig(file: string, env: Environment = process.env): Config {
  const yaml = readYamlFile(file, {
    code: 'ERR_CONFIG',
    missingRemedy: `Write one (config/odontology-webhooks.example.yaml is a beginning), or name yours with --config FILE.`,
    env,
  });
  if (yaml.value === null && yaml.problems.length > 0) throw problemsError('ERR_CONFIG', yaml.problems);
  const problems = createProblems(yaml);
  if (yaml.value !== null && !isMap(yaml.value)) {
    problems.add([], 'must be a map: keys such as source: and webhooks:, each with a value');
    throw problemsError('ERR_CONFIG', problems.list());
  }
  const defaults = readYamlFile(defaultsFile, { code: 'ERR_CONFIG', env });
  const raw = withWebhookDefaults(layer(defaults.value, yaml.value));
  for (const { path, message } of defaults.problems) {
    if (valueAt(yaml.value, path) === undefined) problems.add(path, `is missing, and ${message}`);
  }
  const baseDir = dirname(resolve(file));
  const parsed = validate(createConfigSchema(baseDir), raw, (path, message) => {
    if (!isInherited(path, yaml.value, raw)) problems.add(path, message);
  });
  crossCheck(raw, { baseDir, env }, problems);
  const found = problems.list();
  if (parsed === undefined || found.length > 0) throw problemsError('ERR_CONFIG', found);
  return freeze(toConfig({ parsed, yaml, baseDir, env }));
}

/** Lays every webhook over `webhook_defaults`. Its filter and headers replace those of the defaults whole. */
function withWebhookDefaults(raw: unknown): unknown {
  const defaults = valueAt(raw, ['webhook_defaults']);
  const webhooks = valueAt(raw, ['webhooks']);
  if (!isMap(raw) || !isMap(defaults) || !Array.isArray(webhooks)) return raw;
  const isLeftEmpty = ([key, value]: [string, unknown]) => value === null && isMap(defaults[key]);
  const complete = webhooks.map((webhook: unknown) => {
    if (!isMap(webhook)) return webhook;
    const given = Object.entries(webhook).filter((entry) => !isLeftEmpty(entry));
    return { ...defaults, ...Object.fromEntries(given) };
  });
  return { ...raw, webhooks: complete };
}

/** Whether a webhook has the value at `path` from `webhook_defaults`, where its problems are reported once. */
function isInherited(path: YamlPath, user: unknown, raw: unknown): boolean {
  const [section, index, key] = path;
  return (
    section === 'webhooks' &&
    index !== undefined &&
    key !== undefined &&
    valueAt(user, [section, index, key]) === undefined &&
    valueAt(raw, ['webhook_defaults', key]) !== undefined
  );
}

/** Freezes maps and lists all the way down; a key object is left as it is. */
function freeze<T>(value: T): T {
  if (Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype) {
    for (const inner of Object.values(value as object)) freeze(inner);
    Object.freeze(value);
  }
  return value;
}
