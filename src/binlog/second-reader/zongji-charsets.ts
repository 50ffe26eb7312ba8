import type { KnownDifferences } from './without-unicode.ts';

/** Character sets of which zongji returns the bytes. */
export const undecodedCharsets: readonly string[] = ['dec8', 'geostd8', 'hp8', 'keybcs2', 'swe7'];

/**
 * Character sets that zongji decodes with iconv-lite, which differs from the servers: pairs of what the server gives and what
 * zongji gives, measured for every sequence of one and two bytes on MySQL 9.7.4 and MariaDB 10.11; `any` where they are hundreds: any one
 * character may then be another one, but none of ASCII.
 * U+FFFD can come in place of any character.
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

/** What is known of the character set, character by character. */
export function knownDifferences(charset: string): KnownDifferences {
  const pairs = approximateCharsets[charset] ?? '';
  const known = Array.from(pairs);
  return {
    isPair: (from, to) => known.some((each, i) => i % 2 === 0 && each === from && known[i + 1] === to),
    isAny: (from) => pairs === 'any' && (from === '\\' || from > '\x7f'),
  };
}

/** Whether zongji's text differs from the server's only where its decoder of the character set is known to differ. */
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
