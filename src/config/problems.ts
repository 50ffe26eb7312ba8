import { AppError, errorCatalogue, type ErrorCode } from '../lib/errors.ts';

/** The path of a value in a YAML file: map keys and list indices from the top. */
export type YamlPath = readonly (string | number)[];

/** A position in a file; the first line and the first column are 1, as in editors. */
export interface Position {
  file: string;
  line: number;
  column: number;
}

/** One mistake in a YAML file. The message contains no value, because a value may be a secret. */
export interface Problem {
  path: YamlPath;
  position: Position;
  message: string;
  /** What to write instead, unless the message says it. */
  remedy?: string;
  /** The last key of the path is not shown. */
  hidesKey?: boolean;
}

/** Collects all mistakes of one file, so that one error reports them. */
export interface Problems {
  /** Adds one, at the place of `path`. A problem inside a path that already has a problem is left out, because it follows from the first. */
  add(path: YamlPath, message: string, shown?: Pick<Problem, 'hidesKey'>): void;
  /** All problems, in the order of the file. */
  list(): Problem[];
}

/** At most this many mistakes of one file are listed. */
export const maxProblems = 100;

/** Starts a collector over one file: `at` finds the place of a path (see readYamlFile), `found` are the problems found so far. */
export function createProblems({
  at,
  problems: found,
}: {
  at(path: YamlPath): Position;
  problems: readonly Problem[];
}): Problems {
  const all = [...found];
  const isKnown = (path: YamlPath) =>
    all.some((other) => other.path.length > 0 && other.path.every((step, index) => step === path[index]));
  return {
    add(path, message, shown) {
      // Each is compared with all before it: a generated file with 20,000 mistakes took half a minute.
      if (all.length >= maxProblems || isKnown(path)) return;
      if (all.length === maxProblems - 1)
        all.push({ path, position: at(path), message: `${message}; there are more`, ...shown });
      else all.push({ path, position: at(path), message, ...shown });
    },
    list: () => inFileOrder(all),
  };
}

const inFileOrder = (problems: readonly Problem[]): Problem[] =>
  problems.toSorted(({ position: a }, { position: b }) => a.line - b.line || a.column - b.column);

/** The longest name of an event type. */
const maxKeyLength = 128;
/** The form of a secret that was written as a key: our own secrets, credentials in a URL, and tokens in hex or base64. */
const secretForm = /whsec_|\/|@|^(?=.*\d)[\w+=-]{32,}$/i;

/**
 * Returns a key in a form that messages may show. `{ secret:whsec_… }`, without a space, is one key that contains the value: the text after the colon is
 * left out. A key that looks like a secret is left out, too.
 */
export function showKey(key: string): string {
  const name = key.replace(/:.*$/s, ':…');
  return name.length > maxKeyLength || secretForm.test(name) ? '…' : name;
}

/** `webhooks[0].events[1]`; an empty path gives an empty text. showKey formats the keys. */
export function formatPath(path: YamlPath, { hidesKey = false }: Pick<Problem, 'hidesKey'> = {}): string {
  const shown = hidesKey ? [...path.slice(0, -1), '…'] : path;
  return shown
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${showKey(step)}`))
    .join('')
    .replace(/^\./, '');
}

/** `file:line:column key: message`: a form that terminals and editors make clickable. */
export function formatProblem({ path, position, message, hidesKey = false }: Problem): string {
  const { file, line, column } = position;
  const key = formatPath(path, { hidesKey });
  return `${file}:${line}:${column} ${key === '' ? '' : `${key}: `}${message}`;
}

/** The error with all problems of one file, one a line, in the order of the file. */
export function problemsError(code: ErrorCode, problems: readonly Problem[]): AppError {
  const ordered = inFileOrder(problems);
  const remedies = new Set(ordered.flatMap(({ remedy }) => remedy ?? []));
  return new AppError(code, ordered.map(formatProblem).join('\n'), {
    ...(remedies.size > 0 && { remedy: [errorCatalogue[code].remedy, ...remedies].join('\n') }),
  });
}
