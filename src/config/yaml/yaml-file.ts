import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLError,
  visit,
} from 'yaml';
import { AppError, codeOf, type ErrorCode, messageOf } from '../../lib/errors.ts';
import { toExactNumber } from '../../lib/exact-json.ts';
import { type Environment, substituteEnvironment } from './env.ts';
import type { Position, Problem, YamlPath } from '../problems.ts';
import { checkShape, maxBytes, tooDeep } from './yaml-bounds.ts';

/** A parsed YAML file: its value with environment variables substituted, and the position of each part. */
export interface YamlFile {
  /** The path as given; messages show it. */
  file: string;
  /** Plain JavaScript; null for an empty file, and when `problems` has a mistake of syntax. */
  value: unknown;
  /** The position of a path: the key of a map's entry, the item of a list. For a path that is not in the file, the position of its nearest parent. */
  at(path: YamlPath): Position;
  /** Mistakes of syntax and of `${env:…}`. They are not thrown, so that they are reported together with all other problems. */
  problems: readonly Problem[];
  /** SHA-256 of the bytes, to detect a changed file. */
  fingerprint: string;
}

export interface ReadYamlOptions {
  /** The code of the error when the file cannot be read: ERR_CONFIG or ERR_RULES. */
  code: ErrorCode;
  /** The remedy for a missing file. */
  missingRemedy?: string;
  /** Values for `${env:NAME}`; default: the environment of the process. */
  env?: Environment;
}

/**
 * Reads a YAML 1.2 file with positions. `${env:NAME}` in string values is replaced; keys are not.
 *
 *     const yaml = readYamlFile(path, { code: 'ERR_RULES' });
 *     const problems = createProblems(yaml);
 *     problems.add(['events', 'appointment.confirmed', 'table'], 'there is no table "citass", did you mean "citas"?');
 *     if (problems.list().length > 0) throw problemsError('ERR_RULES', problems.list());
 *
 * Throws AppError with `code` when the file cannot be read or is not UTF-8.
 */
export function readYamlFile(
  file: string,
  { code, missingRemedy, env = process.env }: ReadYamlOptions,
): YamlFile {
  const bytes = readBytes(file, code, missingRemedy);
  const lines = new LineCounter();
  // Pretty errors quote the line, which may hold a secret.
  const text = decodeUtf8(bytes, file, code);
  const document = parse(text, lines, { file, code });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const at = (path: YamlPath) => position(offsetOf(document, path));
  const broken = [...document.errors, ...document.warnings]
    .map((error): Problem => ({ path: [], position: position(error.pos[0]), message: describe(error, text) }))
    // One a line: the others follow from it.
    .filter(({ position: { line } }, index, all) => line !== all[index - 1]?.position.line);
  if (broken.length === 0) {
    const found = checkShape(document);
    broken.push(...found.map(({ offset, message }) => ({ path: [], position: position(offset), message })));
  }
  if (broken.length === 0) broken.push(...checkAliases(document, at));
  const fingerprint = createHash('sha256').update(bytes).digest('hex');
  if (broken.length > 0) return { file, value: null, at, problems: broken, fingerprint };
  const problems = substitute(document, env, at);
  keepDigits(document);
  return { file, value: toValue(document, file, code), at, problems, fingerprint };
}

function parse(
  text: string,
  lineCounter: LineCounter,
  { file, code }: { file: string; code: ErrorCode },
): Document {
  try {
    // The library compares each key with all earlier keys: 20,000 keys took 16 s. validateShape finds duplicate keys.
    return parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      stringKeys: true,
      merge: true,
      uniqueKeys: false,
    });
  } catch (error) {
    // Its parser is recursive.
    if (error instanceof RangeError) throw new AppError(code, `${file}: ${tooDeep}`);
    throw error;
  }
}

function readBytes(path: string, code: ErrorCode, missingRemedy: string | undefined): Uint8Array {
  try {
    const bytes = readFileSync(path);
    if (bytes.length <= maxBytes) return bytes;
    throw new AppError(code, `${path} is larger than ${maxBytes / 2 ** 20} MiB`, {
      remedy: 'Write a smaller one.',
    });
  } catch (error) {
    if (error instanceof AppError) throw error;
    if (codeOf(error) !== 'ENOENT') throw new AppError(code, messageOf(error), { cause: error });
    throw new AppError(
      code,
      `there is no file ${path}`,
      missingRemedy === undefined ? {} : { remedy: missingRemedy },
    );
  }
}

function decodeUtf8(bytes: Uint8Array, path: string, code: ErrorCode): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new AppError(code, `${path} is not UTF-8`, { remedy: 'Save it as UTF-8.', cause: error });
  }
}

const maxAliases = 200;

/** An alias must refer to an earlier node that does not contain it, because a value is a tree. */
function checkAliases(document: Document, at: (path: YamlPath) => Position): Problem[] {
  const problems: Problem[] = [];
  let count = 0;
  visit(document, {
    Alias(_key, node, ancestors) {
      // The library searches for each from the beginning of the document: 8,000 aliases took half a minute.
      count += 1;
      if (count > maxAliases) {
        problems.push({
          path: [],
          position: at([]),
          message: `the file has more than ${maxAliases} aliases (*name)`,
        });
        return visit.BREAK;
      }
      const target = node.resolve(document);
      if (target !== undefined && !ancestors.includes(target)) return undefined;
      const path = pathOf(node, ancestors);
      const message = target === undefined ? unresolvedAlias : 'this alias contains itself';
      problems.push({ path, position: at(path), message });
      return undefined;
    },
  });
  return problems;
}

/** Replaces the string scalars of the document in place. */
function substitute(document: Document, env: Environment, at: (path: YamlPath) => Position): Problem[] {
  const problems: Problem[] = [];
  visit(document, {
    Scalar(key, node, ancestors) {
      if (key === 'key' || typeof node.value !== 'string') return;
      const result = substituteEnvironment(node.value, env);
      if ('text' in result) {
        node.value = result.text;
      } else {
        const path = pathOf(node, ancestors);
        problems.push({ path, position: at(path), message: result.problem });
      }
    },
  });
  return problems;
}

/** Replaces a number that a double would round with a raw JSON value: otherwise a filter would match another number. */
function keepDigits(document: Document): void {
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== 'number' || node.source === undefined) return;
      node.value = toExactNumber(node.source);
    },
  });
}

/** The path of a visited node, built from its ancestors. */
function pathOf(node: Node, ancestors: readonly unknown[]): (string | number)[] {
  const chain = [...ancestors, node];
  return chain.flatMap((ancestor, index): (string | number)[] => {
    const child = chain[index + 1];
    if (isSeq(ancestor)) return [ancestor.items.indexOf(child)];
    if (isMap(ancestor)) {
      const pair = ancestor.items.find((item) => item === child);
      return isScalar(pair?.key) ? [String(pair.key.value)] : [];
    }
    return [];
  });
}

/** The offset at which a path's entry begins; for a missing path, the offset of its nearest parent. */
function offsetOf(document: Document, path: YamlPath): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    const entry = childOf(node, step);
    if (entry === undefined) break;
    offset = startOf(entry.marker) ?? offset;
    node = entry.value;
  }
  return offset;
}

function childOf(node: unknown, step: string | number): { marker: unknown; value: unknown } | undefined {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && key.value === String(step));
    return pair && { marker: pair.key, value: pair.value };
  }
  if (isSeq(node) && typeof step === 'number' && step < node.items.length) {
    return { marker: node.items[step], value: node.items[step] };
  }
  return undefined;
}

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];

function toValue(document: Document, file: string, code: ErrorCode): unknown {
  try {
    return document.toJS();
  } catch (error) {
    // The only remaining cause of an error here: the library expands at most a hundred aliases of aliases.
    throw new AppError(code, `${file} has too many aliases (*name)`, { cause: error });
  }
}

const unresolvedAlias = 'a value that begins with * must be in quotes, as in "*"';

/** The library's message, unless it quotes the file's contents or a better hint exists. */
function describe({ code, message, pos }: YAMLError, text: string): string {
  if (text.slice(pos[0] - 1, pos[0] + 1) === '${') return 'inside [ ] or { }, ${…} must be in quotes';
  switch (code) {
    case 'BAD_ALIAS':
      return unresolvedAlias;
    case 'BAD_SCALAR_START':
      return 'a value that begins with @, `, % or | must be in quotes';
    case 'TAG_RESOLVE_FAILED':
      return 'a value that begins with ! must be in quotes';
    case 'TAB_AS_INDENT':
      return 'indent with spaces, not with tabs';
    case 'BAD_DQ_ESCAPE':
      return 'a \\ inside "…" must be written \\\\, or the text put in single quotes';
    case 'UNEXPECTED_TOKEN':
      // Some messages end with the text that caused the mistake.
      return message.replace(/: .*$/s, '');
    case 'MULTIPLE_DOCS':
      return 'only one document a file: remove what follows "---"';
    case 'BAD_DIRECTIVE':
      return 'a line that begins with % must be in quotes';
    default:
      if (message.startsWith('Maximum call stack')) return tooDeep;
      // A message that quotes a word of the file may quote a secret.
      return message.match(/\S{8,}/g)?.some((word) => text.includes(word)) ? 'this is not YAML' : message;
  }
}
