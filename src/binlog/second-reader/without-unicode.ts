import iconv from 'iconv-lite';
import { textDecoder } from '../decode/charset.ts';
import { multiByteSets } from '../decode/charset/multi-byte-sets.ts';
import { unicodeDecoders } from '../decode/charset/unicode.ts';

/** zongji's reading of one code, and the bytes that it holds back because they may begin a code together with the next bytes. */
interface Reading {
  text: string;
  heldBack: string;
}

/** By the first character of their text; readings whose bytes are all held back are under ''. */
type Readings = ReadonlyMap<string, readonly Reading[]>;

/** Our characters that iconv-lite decodes differently. */
export interface KnownDifferences {
  isPair(from: string, to: string): boolean;
  /** Whether any result of iconv-lite is accepted for this character. */
  isAny(from: string): boolean;
}

/** Position in zongji's text: the number of UTF-16 units read, and the bytes (Latin-1) held back. */
interface Place {
  at: number;
  heldBack: string;
}

/**
 * Whether zongji's text is iconv-lite's reading of bytes that we read as `ours`, where our `?` may be any code without a character in
 * Unicode. iconv-lite has characters for many of these codes. For the other codes it reads only the first byte, and then reads the
 * remaining bytes together with those of the next character. Every other character must be equal, or `known` to differ.
 */
export function isReadWithoutUnicode(
  charset: string,
  { ours, theirs }: { ours: string; theirs: unknown },
  known: KnownDifferences,
): boolean {
  const codes = typeof theirs === 'string' ? codesOf(charset) : undefined;
  if (!codes || typeof theirs !== 'string') return false;
  let places: Place[] = [{ at: 0, heldBack: '' }];
  for (const character of ours) {
    const next = new Map<string, Place>();
    for (const place of places) {
      for (const each of codes.follow(character, place, { theirs, known }))
        next.set(`${each.at}:${each.heldBack}`, each);
    }
    places = [...next.values()];
    if (places.length === 0) return false;
  }
  return places.some(({ at, heldBack }) => theirs.slice(at) === codes.decode(heldBack));
}

/** One entry for each possible first byte in EUC: with 16 entries a text of two such codes took seconds. */
const KEPT_READINGS = 128;

/** The names that zongji passes to iconv-lite, if they differ from the server's. */
const iconvNames: Readonly<Record<string, string>> = { ujis: 'eucjp', eucjpms: 'eucjp' };

/** The codes of a character set, by our reading of them. Their bytes are kept as Latin-1. */
class Codes {
  readonly #iconvName: string;
  readonly #codes: ReadonlyMap<string, readonly string[]>;
  /** Readings of `?`, by the bytes that were held back. */
  readonly #unknown = new Map<string, Readings>();

  constructor(charset: string) {
    this.#iconvName = iconvNames[charset] ?? charset;
    const decode = textDecoder(charset)!;
    this.#codes = Map.groupBy(everyCode(charset), (code) => decode(Buffer.from(code, 'latin1')));
  }

  decode(bytes: string): string {
    return iconv.decode(Buffer.from(bytes, 'latin1'), this.#iconvName);
  }

  /** Returns the possible positions in zongji's text after one of our characters. */
  follow(
    character: string,
    { at, heldBack }: Place,
    { theirs, known }: { theirs: string; known: KnownDifferences },
  ): Place[] {
    const other = String.fromCodePoint(theirs.codePointAt(at) ?? 0);
    const isAligned = heldBack === '' && character !== '?';
    const isSame = at < theirs.length && (other === character || known.isPair(character, other));
    if (isAligned && isSame) return [{ at: at + other.length, heldBack }];
    if (isAligned && !known.isAny(character)) return [];
    const readings = this.#readingsOf(character, heldBack);
    return [...(readings.get('') ?? []), ...(readings.get(theirs.charAt(at)) ?? [])]
      .filter(({ text }) => theirs.startsWith(text, at))
      .map((reading) => ({ at: at + reading.text.length, heldBack: reading.heldBack }));
  }

  /** Returns zongji's possible readings of one of our characters after the bytes that it held back. */
  #readingsOf(character: string, heldBack: string): Readings {
    const known = character === '?' ? this.#unknown.get(heldBack) : undefined;
    if (known) return known;
    const distinct = new Map<string, Reading>();
    for (const code of this.#codes.get(character) ?? []) {
      const reading = this.#read(heldBack + code);
      distinct.set(`${reading.heldBack}:${reading.text}`, reading);
    }
    const readings = Map.groupBy(distinct.values(), ({ text }) => text.charAt(0));
    // Each entry has thousands of codes.
    if (this.#unknown.size === KEPT_READINGS) this.#unknown.clear();
    if (character === '?') this.#unknown.set(heldBack, readings);
    return readings;
  }

  #read(bytes: string): Reading {
    const write = (part: string): string =>
      iconv.getDecoder(this.#iconvName).write(Buffer.from(part, 'latin1'));
    const text = write(bytes);
    const whole = this.decode(bytes);
    // The last bytes, which have not produced text yet.
    const heldBack = [3, 2, 1]
      .map((length) => bytes.slice(-length))
      .find((end) => write(end) === '' && text + this.decode(end) === whole);
    return { text, heldBack: heldBack ?? '' };
  }
}

/** By name. Each takes about 50 ms to build, so they are built only when two texts differ. */
const built = new Map<string, Codes>();

function codesOf(charset: string): Codes | undefined {
  if (
    unicodeDecoders[charset] ||
    !textDecoder(charset) ||
    !iconv.encodingExists(iconvNames[charset] ?? charset)
  )
    return undefined;
  const codes = built.get(charset) ?? new Codes(charset);
  built.set(charset, codes);
  return codes;
}

/** Includes sequences that are not codes: we read them as several characters. */
function* everyCode(charset: string): Generator<string> {
  const every = Array.from({ length: 0x100 }, (_, i) => String.fromCharCode(i));
  const high = every.slice(0x80);
  const set = multiByteSets[charset];
  // No server stores the first byte of a longer code alone.
  const isStored = (byte: number): boolean =>
    byte < 0x80 || set?.leads.some(([from, to]) => byte >= from && byte <= to) !== true;
  yield* every.filter((_, byte) => isStored(byte));
  if (!set) return;
  for (const first of high) for (const second of every) yield first + second;
  if (set.longer !== 'euc') return;
  for (const second of high) for (const third of high) yield `\x8f${second}${third}`;
}
