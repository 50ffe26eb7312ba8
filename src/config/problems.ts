import { AppError, type ErrorCode } from '../lib/errors.ts';

/** The way to a value in a YAML file: map keys and list indices from the top. */
export type YamlPath = readonly (string | number)[];

/** A place in a file, as editors count: the first line and the first column are 1. */
export interface Position {
  file: string;
  line: number;
  column: number;
}

/** One mistake in a YAML file. The message names no value, because a value may be a secret. */
export interface Problem {
  path: YamlPath;
  position: Position;
  message: string;
}

/** Gathers all mistakes of one file, so that they are told at once. */
export interface Problems {
  /** Adds one, at the place of `path`. A path that already has a problem, or lies inside one that has, is left out: it follows from it. */
  add(path: YamlPath, message: string): void;
  /** In the order of the file. */
  list(): Problem[];
}

/** Starts a collector over one file: `at` finds the place of a path (see readYamlFile), `found` are problems known already. */
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
    add(path, message) {
      if (!isKnown(path)) all.push({ path, position: at(path), message });
    },
    list: () =>
      all.toSorted((a, b) => a.position.line - b.position.line || a.position.column - b.position.column),
  };
}

/** `webhooks[0].events[1]`; the empty path is the empty text. */
export function formatPath(path: YamlPath): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

/** `file:line:column key: message`: a place that terminals and editors make clickable. */
export function formatProblem({ path, position, message }: Problem): string {
  const { file, line, column } = position;
  const key = formatPath(path);
  return `${file}:${line}:${column} ${key === '' ? '' : `${key}: `}${message}`;
}

/** The error that tells all problems, one a line; the remedy defaults to the catalogue's. */
export function problemsError(code: ErrorCode, problems: readonly Problem[]): AppError {
  return new AppError(code, problems.map(formatProblem).join('\n'));
}
