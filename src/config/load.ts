import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crossCheck } from './cross-check.ts';
import type { Environment } from './yaml/env.ts';
import { isMap, layer, valueAt } from './yaml/layer.ts';
import { createProblems, problemsError, type Problem, type YamlPath } from './problems.ts';
import { repair } from './setting/repair.ts';
import { createConfigSchema } from './setting/schema.ts';
import { toConfig } from './setting/to-config.ts';
import type { Config } from './types.ts';
import { validate } from './setting/validate.ts';
import { readYamlFile } from './yaml/yaml-file.ts';

/** The defaults. The relative path is the same from `src/config` and from `dist/config`. */
const defaultsFile = fileURLToPath(new URL('../../config/default.yaml', import.meta.url));

/** The readable part of a configuration file, with all its mistakes. */
export interface ConfigDraft {
  /**
   * The configuration with placeholders for the values that have a mistake, so that everything else can be checked. It is used only when there is no
   * problem. Null when no placeholder is possible.
   */
  config: Config | null;
  problems: readonly Problem[];
  /** Whether a placeholder is at this path: problems of a placeholder are not problems of the file. */
  isReplaced(path: YamlPath): boolean;
  /** Whether the value at this path, or a value that contains it, has a mistake. */
  isWrong(path: YamlPath): boolean;
  /** Whether the address of the store has a mistake; without `store.url` it is the address of the source. */
  isStoreUnknown: boolean;
}

/**
 * Reads the configuration: the user's file over `config/default.yaml`, with environment variables substituted, checked whole and frozen.
 * @param file path of the user's file; paths inside it are relative to it.
 * @param env the environment; default: that of the process.
 * @throws AppError ERR_CONFIG, whose message has one line for every problem: `file:line:column key: what is wrong`. The message never contains a value.
 */
export function loadConfig(file: string, env: Environment = process.env): Config {
  const { config, problems } = draftConfig(file, env);
  if (config === null || problems.length > 0) throw problemsError('ERR_CONFIG', problems);
  return config;
}

/**
 * Reads the configuration like `loadConfig`, but returns the mistakes together with the rest of the configuration.
 * @throws AppError ERR_CONFIG for a file that cannot be read, is not YAML or is not a map: nothing in it can be checked.
 */
export function draftConfig(file: string, env: Environment = process.env): ConfigDraft {
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
  const schema = createConfigSchema(baseDir);
  const read = validate(schema, raw, (path, message, shown) => {
    if (!isInherited(path, yaml.value, raw)) problems.add(path, message, shown);
  });
  crossCheck(raw, { baseDir, env }, problems);
  const { parsed, replaced } =
    read === undefined ? repair(schema, { raw, defaults: defaults.value }) : { parsed: read, replaced: [] };
  const found = problems.list();
  const isWrong = (path: YamlPath): boolean =>
    found.some((other) => other.path.length > 0 && isPrefix(other.path, path));
  const addressOfStore = valueAt(raw, ['store', 'url']) === null ? ['source', 'url'] : ['store', 'url'];
  return {
    config: parsed === null ? null : freeze(toConfig({ parsed, yaml, baseDir, env })),
    problems: found,
    isReplaced: (path) => replaced.some((other) => isPrefix(other, path)),
    isWrong,
    isStoreUnknown: isWrong(addressOfStore),
  };
}

const isPrefix = (prefix: YamlPath, path: YamlPath): boolean =>
  prefix.every((step, index) => step === path[index]);

/** Lays every webhook over `webhook_defaults`. Its filter and headers replace the default filter and headers; they are not merged. */
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

/** Whether a webhook inherits the value at `path` from `webhook_defaults`, where its problems are reported once. */
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

/** Freezes maps and lists recursively; key objects are not frozen. */
function freeze<T>(value: T): T {
  if (Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype) {
    for (const inner of Object.values(value as object)) freeze(inner);
    Object.freeze(value);
  }
  return value;
}
