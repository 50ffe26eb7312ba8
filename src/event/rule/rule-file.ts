import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import {
  createProblems,
  problemsError,
  type Position,
  type Problem,
  type Problems,
  type YamlPath,
} from '../../config/problems.ts';
import { isMap } from '../../config/yaml/layer.ts';
import { readYamlFile, type YamlFile } from '../../config/yaml/yaml-file.ts';
import { didYouMean } from '../../lib/suggest.ts';
import { writtenNumbers } from './written-numbers.ts';
import { rulesFile, type RuleSpec } from './rule-spec.ts';

/** A rules file of valid form. `compileRules` checks whether it fits the schema. */
export interface RuleFile {
  /** The path as given in the configuration. */
  file: string;
  /** How to treat a table, column or label that the schema lacks. */
  missing: 'error' | 'warn';
  /** Alternative rules by event type, in the order of the file. */
  events: readonly EventSpec[];
  /** The position of a path in the file, for messages. */
  at(path: YamlPath): Position;
  /** SHA-256 of the file, to detect changes. */
  fingerprint: string;
}

export interface EventSpec {
  type: string;
  rules: readonly { path: YamlPath; spec: RuleSpec }[];
}

/** The catalogue for OdontologyApp that is part of the package. */
export const builtInRulesFile = fileURLToPath(new URL('../../../config/events.yaml', import.meta.url));

/** The parts of a rules file that have a valid form. */
export interface RuleFileDraft {
  /** The events without a mistake; null if no event of the file can be read. */
  ruleFile: RuleFile | null;
  /** The events that have a mistake of form: their content is unknown. */
  unread: readonly string[];
  problems: readonly Problem[];
}

/** Reads a rules file. Throws ERR_RULES with all mistakes of form, each with its line and the nearest known word. */
export function readRules(path: string): RuleFile {
  const { ruleFile, problems } = draftRuleFile(path);
  if (ruleFile === null || problems.length > 0) throw problemsError('ERR_RULES', problems);
  return ruleFile;
}

/**
 * Reads a rules file like `readRules`, but returns its mistakes together with the valid parts. Throws ERR_RULES if the file cannot be
 * read.
 */
export function draftRuleFile(path: string): RuleFileDraft {
  const yaml = readYamlFile(path, {
    code: 'ERR_RULES',
    missingRemedy: 'Correct the path in `rules`, or leave the key out for the built-in catalogue.',
  });
  const problems = createProblems(yaml);
  if (yaml.value === null && yaml.problems.length > 0)
    return { ruleFile: null, unread: [], problems: problems.list() };
  const value = writtenNumbers(yaml.value);
  const parsed = rulesFile.safeParse(value, { reportInput: true });
  if (parsed.error) addIssues(problems, parsed.error.issues, []);
  const found = problems.list();
  const unread = [
    ...new Set(found.flatMap(({ path: [, type] }) => (type === undefined ? [] : [String(type)]))),
  ];
  const { data } = found.length === 0 ? parsed : rulesFile.safeParse(withoutProblems(value, found, unread));
  return { ruleFile: data === undefined ? null : toRuleFile(data, yaml), unread, problems: found };
}

/** Returns the settings and events without a mistake. */
function withoutProblems(value: unknown, problems: readonly Problem[], unread: readonly string[]): unknown {
  const wrong = new Set(problems.flatMap(({ path }) => (path.length === 1 ? [String(path[0])] : [])));
  if (!isMap(value)) return value;
  const { events, ...settings } = value;
  const kept = Object.entries(settings).filter(([key]) => !wrong.has(key));
  const read = isMap(events) ? Object.entries(events).filter(([type]) => !unread.includes(type)) : [];
  return { ...Object.fromEntries(kept), events: Object.fromEntries(read) };
}

function toRuleFile(
  { missing = 'error', events }: z.output<typeof rulesFile>,
  { file, at, fingerprint }: YamlFile,
): RuleFile {
  return {
    file,
    missing,
    events: Object.entries(events).map(([type, rules]) => ({ type, rules: alternatives(type, rules) })),
    at,
    fingerprint,
  };
}

function alternatives(type: string, rules: RuleSpec | RuleSpec[]): EventSpec['rules'] {
  return Array.isArray(rules)
    ? rules.map((spec, index) => ({ path: ['events', type, index], spec }))
    : [{ path: ['events', type], spec: rules }];
}

type Issue = z.core.$ZodIssue;

function addIssues(problems: Problems, issues: readonly Issue[], above: YamlPath): void {
  for (const issue of issues) {
    if (followsFromMistypedKey(issue, issues)) continue;
    const path = [...above, ...stepsOf(issue)];
    if (issue.code === 'invalid_union' && issue.input !== undefined) {
      const branch = nearestBranch(issue.errors, issue.input);
      if (branch) addIssues(problems, branch, path);
      else problems.add(path, issue.message);
    } else if (issue.code === 'unrecognized_keys') {
      problems.add([...path, ...issue.keys.slice(0, 1)], issue.message);
    } else {
      problems.add(path, messageOf(issue));
    }
  }
}

const stepsOf = (issue: Issue): YamlPath =>
  issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));

/** A map that lacks a key because the key is misspelt counts as one mistake, not two. */
function followsFromMistypedKey(issue: Issue, all: readonly Issue[]): boolean {
  const steps = stepsOf(issue);
  return all.some((other) => {
    if (other.code !== 'unrecognized_keys' || other === issue) return false;
    const map = stepsOf(other);
    if (issue.code === 'custom') return steps.join('.') === map.join('.');
    const isDirectlyInside = steps.slice(0, -1).join('.') === map.join('.');
    return (
      isDirectlyInside &&
      issue.input === undefined &&
      other.message.includes(`did you mean "${steps.at(-1)}"`)
    );
  });
}

/** Of the permitted forms of a value, returns the form that was most likely meant; undefined if the value resembles none. */
function nearestBranch(
  branches: readonly (readonly Issue[])[],
  input: unknown,
): readonly Issue[] | undefined {
  const [nearest] = branches
    .filter((issues) => !issues.some(({ code, path }) => code === 'invalid_type' && path.length === 0))
    .toSorted((a, b) => weightOf(a) - weightOf(b));
  return nearest?.some((issue) => isStranger(issue, input)) ? undefined : nearest;
}

/** Whether no key of the map belongs to the form. */
function isStranger(issue: Issue, input: unknown): boolean {
  if (issue.code !== 'unrecognized_keys' || issue.path.length > 0) return false;
  return issue.keys.length === Object.keys(input as object).length;
}

/** How far a value is from a form: the number of its mistakes. */
function weightOf(issues: readonly Issue[]): number {
  return issues.reduce((sum, issue) => {
    if (issue.code === 'unrecognized_keys') return sum + issue.keys.length;
    if (issue.code !== 'invalid_union') return sum + 1;
    return sum + Math.max(1, Math.min(...issue.errors.map(weightOf)));
  }, 0);
}

const typeNames: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
};

function messageOf(issue: Issue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  if (issue.code === 'invalid_value') {
    const words = issue.values.map(String);
    const suggestion = typeof issue.input === 'string' ? didYouMean(issue.input, words) : '';
    return `expected one of ${words.join(', ')}${suggestion}`;
  }
  if (issue.input === undefined) return 'is missing';
  return issue.code === 'invalid_type'
    ? `expected ${typeNames[issue.expected] ?? issue.expected}`
    : issue.message;
}
