import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type DatabaseUrl, parseDatabaseUrl } from '../db/connection/database-url.ts';
import { type Environment, findProxies } from './yaml/env.ts';
import { isMap, valueAt } from './yaml/layer.ts';
import { formatPath, type Problems, type YamlPath } from './problems.ts';

/** Everything outside the file on which its values depend. */
export interface Surroundings {
  baseDir: string;
  env: Environment;
}

/**
 * Checks that involve more than one key. They run on the raw YAML values, even when the file has other mistakes, so that all problems are reported
 * together.
 */
export function crossCheck(value: unknown, { baseDir, env }: Surroundings, problems: Problems): void {
  checkSchemas(value, baseDir, problems);
  checkEncryption(value, problems);
  checkRulesFile(value, baseDir, problems);
  checkSchemes(value, problems);
  checkProxy(value, env, problems);
  for (const path of [['webhooks'], ['http', 'tokens']]) checkUnique({ value, path, key: 'name' }, problems);
  checkUnique({ value, path: ['http', 'tokens'], key: 'sha256' }, problems);
}

function checkSchemas(value: unknown, baseDir: string, problems: Problems): void {
  const source = parsed(valueAt(value, ['source', 'url']), baseDir);
  const store = parsed(valueAt(value, ['store', 'url']), baseDir);
  if (source?.database === '') {
    problems.add(['source', 'url'], 'names no schema: end it with /ontology_db, or as the clinic calls it');
  }
  if (!source || !store) return;
  const isSame = (['host', 'port', 'database'] as const).every((part) => source[part] === store[part]);
  if (isSame) problems.add(['store', 'url'], "is the application's own schema: give it one of its own");
}

function parsed(url: unknown, baseDir: string): DatabaseUrl | undefined {
  try {
    return typeof url === 'string' ? parseDatabaseUrl(url, { baseDir }) : undefined;
  } catch {
    // The schema of this key reports it.
    return undefined;
  }
}

function checkEncryption(value: unknown, problems: Problems): void {
  const old = valueAt(value, ['store', 'old_encryption_keys']);
  const current = valueAt(value, ['store', 'encryption_key']);
  if (current === null && Array.isArray(old) && old.length > 0) {
    problems.add(['store', 'old_encryption_keys'], 'needs store.encryption_key, which takes their place');
  }
}

function checkRulesFile(value: unknown, baseDir: string, problems: Problems): void {
  const rules = valueAt(value, ['rules']);
  if (typeof rules === 'string' && !existsSync(resolve(baseDir, rules))) {
    problems.add(['rules'], 'names a file that does not exist: paths are relative to the configuration file');
  }
}

function checkSchemes(value: unknown, problems: Problems): void {
  const allowed = valueAt(value, ['delivery', 'allow_http']);
  if (allowed === true || allowed === 'true') return;
  listAt(value, ['webhooks']).forEach((webhook, index) => {
    const url = valueAt(webhook, ['url']);
    if (typeof url === 'string' && /^http:/i.test(url)) {
      problems.add(['webhooks', index, 'url'], 'is not https: change it, or set delivery.allow_http: true');
    }
  });
}

function checkProxy(value: unknown, env: Environment, problems: Problems): void {
  const found = findProxies(env);
  if (found === null) return;
  const path = ['delivery', 'proxy_is_guard'];
  for (const { variable, problem } of found.problems) {
    problems.add(path, `does not fit the environment: ${variable} ${problem}`);
  }
  const isGuard = valueAt(value, path);
  if (isGuard === true || isGuard === 'true') return;
  problems.add(
    path,
    `${found.variables.join(' and ')} is set, and behind a proxy addresses cannot be checked here: unset it, or set ` +
      'delivery.proxy_is_guard: true when the proxy itself refuses internal addresses',
  );
}

interface Uniqueness {
  value: unknown;
  /** The values of one key in a list of maps. */
  path: YamlPath;
  /** The key whose value must be unique; letter case is ignored. */
  key: string;
}

function checkUnique({ value, path, key }: Uniqueness, problems: Problems): void {
  const seen = new Map<string, number>();
  listAt(value, path).forEach((item, index) => {
    const given = valueAt(item, [key]);
    if (!isMap(item) || typeof given !== 'string') return;
    const first = seen.get(given.toLowerCase());
    if (first === undefined) seen.set(given.toLowerCase(), index);
    else problems.add([...path, index, key], `is the same as ${formatPath([...path, first, key])}`);
  });
}

function listAt(value: unknown, path: YamlPath): readonly unknown[] {
  const list = valueAt(value, path);
  return Array.isArray(list) ? list : [];
}
