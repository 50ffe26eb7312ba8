import type { KeyDefinition } from '../types.ts';

/** Words without which a definition leaves foreign keys, referenced columns, versioning and triggers as they are. */
const relevant = /\b(?:FOREIGN|REFERENCES|CONSTRAINT|TRIGGER|RENAME|CHANGE|DROP|REPLACE|VERSIONING)\b/i;
const temporary = /^\W*(?:CREATE|DROP)\W+(?:OR\W+REPLACE\W+)?TEMPORARY\b/i;

/** What a definition statement may change in what is known of foreign keys; null for nothing. A word too many does no harm. */
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
