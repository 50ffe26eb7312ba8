/**
 * Returns a regular expression, without anchors, for the whole numbers from `least` to `most` without leading zeros: a JSON schema describes a number
 * inside a text this way.
 */
export function numberPattern(least: number, most: number): string {
  const parts: string[] = [];
  // One part for each number of digits, because numbers of equal length are described digit by digit.
  for (let digits = String(least).length; digits <= String(most).length; digits += 1) {
    const from = Math.max(least, digits === 1 ? 0 : 10 ** (digits - 1));
    const to = Math.min(most, 10 ** digits - 1);
    parts.push(...sameLength(String(from), String(to)));
  }
  return parts.length === 1 ? parts[0]! : `(${parts.join('|')})`;
}

/** Patterns for the numbers between two numbers of the same length. */
function sameLength(from: string, to: string): string[] {
  const rest = from.length - 1;
  if (rest === 0) return [digit(Number(from), Number(to))];
  const [first, last] = [Number(from[0]), Number(to[0])];
  const [lowest, highest] = ['0'.repeat(rest), '9'.repeat(rest)];
  if (first === last) return sameLength(from.slice(1), to.slice(1)).map((each) => `${first}${each}`);
  const fromFull = from.slice(1) === lowest ? first : first + 1;
  const toFull = to.slice(1) === highest ? last : last - 1;
  const any = rest === 1 ? '[0-9]' : `[0-9]{${rest}}`;
  return [
    ...(fromFull === first ? [] : sameLength(from.slice(1), highest).map((each) => `${first}${each}`)),
    ...(fromFull > toFull ? [] : [digit(fromFull, toFull) + any]),
    ...(toFull === last ? [] : sameLength(lowest, to.slice(1)).map((each) => `${last}${each}`)),
  ];
}

const digit = (from: number, to: number): string => (from === to ? String(from) : `[${from}-${to}]`);
