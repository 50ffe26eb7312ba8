import type { KeyDefinition } from '../types.ts';

/** A definition without any of these words changes no foreign keys, referenced columns, versioning or triggers. */
const relevant = /\b(?:FOREIGN|REFERENCES|CONSTRAINT|TRIGGER|RENAME|CHANGE|DROP|REPLACE|VERSIONING)\b/i;
const temporary = /^\W*(?:CREATE|DROP)\W+(?:OR\W+REPLACE\W+)?TEMPORARY\b/i;

/** Returns what a definition statement may change about foreign keys; null for nothing. Extra words are harmless. */
export function findKeyDefinition(text: string): KeyDefinition | null {
  if (!relevant.test(text) || temporary.test(text)) return null;
  const quoted = [...text.matchAll(/`((?:[^`]|``)+)`|"((?:[^"]|"")+)"/g)].map(([, back, double]) =>
    (back?.replaceAll('``', '`') ?? double?.replaceAll('""', '"') ?? '').toLowerCase(),
  );
  const words = text.toLowerCase().match(/[\p{L}\p{N}_$]+/gu) ?? [];
  const isTrigger = /\bTRIGGER\b/i.test(text);
  return {
    names: new Set([...quoted, ...words]),
    trigger: !isTrigger ? null : /^\W*DROP\b/i.test(text) ? 'drop' : 'create',
  };
}
