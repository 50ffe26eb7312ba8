import { numberText, parseExactJson } from '../../../lib/exact-json.ts';

/** Known changes that zongji makes to a document. */
export interface JsonLeniency {
  /** Our numbers may be strings of the same digits in zongji's document. */
  decimalsAsText: boolean;
  /** Our keys `__proto__` may be missing. */
  withoutProto: boolean;
}

const exact: JsonLeniency = { decimalsAsText: false, withoutProto: false };

/** Whether two JSON texts mean the same. Key order has no meaning, and zongji loses it for keys that are whole numbers. */
export function isSameJson(ours: unknown, theirs: unknown, leniency: JsonLeniency = exact): boolean {
  if (typeof ours !== 'string' || typeof theirs !== 'string') return false;
  // MariaDB logs the text itself, which may be invalid JSON if the check constraint was dropped.
  if (ours === theirs) return true;
  try {
    return isSameNode(parseExactJson(ours), parseExactJson(theirs), leniency);
  } catch {
    return false;
  }
}

function isSameNode(ours: unknown, theirs: unknown, leniency: JsonLeniency): boolean {
  const digits = numberText(ours);
  if (digits !== undefined) {
    if (leniency.decimalsAsText && theirs === digits) return true;
    return isSameNumber(digits, numberText(theirs));
  }
  if (Array.isArray(ours)) {
    if (!Array.isArray(theirs) || ours.length !== theirs.length) return false;
    return ours.every((each, i) => isSameNode(each, theirs[i], leniency));
  }
  if (typeof ours !== 'object' || ours === null) return ours === theirs;
  if (typeof theirs !== 'object' || theirs === null || Array.isArray(theirs)) return false;
  return isSameObject(ours as Members, theirs as Members, leniency);
}

type Members = Record<string, unknown>;

function isSameObject(ours: Members, theirs: Members, leniency: JsonLeniency): boolean {
  const keys = Object.keys(ours).filter((key) => !(leniency.withoutProto && key === '__proto__'));
  if (keys.length !== Object.keys(theirs).length) return false;
  return keys.every((key) => Object.hasOwn(theirs, key) && isSameNode(ours[key], theirs[key], leniency));
}

/** Compares whole numbers digit by digit; others as doubles, whose spelling may differ (`1e300`, `1e+300`; `1.0`, `1`). */
function isSameNumber(ours: string, theirs: string | undefined): boolean {
  if (theirs === undefined) return false;
  const bothWhole = /^-?\d+$/.test(ours) && /^-?\d+$/.test(theirs);
  return bothWhole ? ours === theirs : Object.is(Number(ours), Number(theirs));
}
