import type { KnownDifferences } from './without-unicode.ts';

/** Character sets that zongji does not decode: it returns bytes. */
export const undecodedCharsets: readonly string[] = ['dec8', 'geostd8', 'hp8', 'keybcs2', 'swe7'];

/**
 * Character sets that zongji decodes with iconv-lite, which differs from the servers: pairs of the server's and zongji's character,
 * measured for every sequence of one and two bytes on MySQL 9.7.4 and MariaDB 10.11. `any` stands for hundreds of pairs: any character
 * except ASCII may then differ. U+FFFD can replace any character.
 */
export const approximateCharsets: Readonly<Record<string, string>> = {
  armscii8: '§և՟֊’՚',
  big5: 'any',
  cp866: 'ⁿ№²¤',
  cp932: 'any',
  eucjpms: 'any',
  gb18030: '\ue5e5\u3000',
  gb2312: '・·―—',
  greek: 'ʽ‘ʼ’',
  hebrew: '‾¯',
  koi8u: '•∙',
  latin1: '',
  macroman: '\u03a9\u2126€¤',
  sjis: '\\＼〜～‖∥−－¢￠£￡¬￢',
  tis620: '',
  ujis: 'any',
};

/** Returns the known differences of a character set, character by character. */
export function knownDifferences(charset: string): KnownDifferences {
  const pairs = approximateCharsets[charset] ?? '';
  const known = Array.from(pairs);
  return {
    isPair: (from, to) => known.some((each, i) => i % 2 === 0 && each === from && known[i + 1] === to),
    isAny: (from) => pairs === 'any' && (from === '\\' || from > '\x7f'),
  };
}

/** Whether zongji's text differs from the server's only where zongji's decoder of the character set is known to differ. */
export function isApproximation(charset: string, ours: string, theirs: unknown): boolean {
  if (approximateCharsets[charset] === undefined || typeof theirs !== 'string') return false;
  const { isPair, isAny } = knownDifferences(charset);
  const [mine, other] = [Array.from(ours), Array.from(theirs)];
  const isKnown = (from: string, to: string | undefined): boolean =>
    to === '\ufffd' || isAny(from) || isPair(from, to ?? '');
  return (
    mine.length === other.length && mine.every((each, i) => each === other[i] || isKnown(each, other[i]))
  );
}
