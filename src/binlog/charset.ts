import iconv from 'iconv-lite';

export type TextDecode = (bytes: Buffer) => string;

const utf8: TextDecode = (bytes) => bytes.toString('utf8');
const latin1 = new TextDecoder('windows-1252');

/** MySQL character sets whose names differ from iconv's. Those that neither decodes (dec8, hp8, swe7, keybcs2, filename) are missing on purpose. */
const iconvNames: Readonly<Record<string, string>> = {
  ucs2: 'utf-16be',
  utf16: 'utf-16be',
  utf16le: 'utf-16le',
  utf32: 'utf-32be',
  latin2: 'iso-8859-2',
  latin5: 'iso-8859-9',
  latin7: 'iso-8859-13',
  greek: 'iso-8859-7',
  hebrew: 'iso-8859-8',
  koi8r: 'koi8-r',
  koi8u: 'koi8-u',
  macce: 'maccenteuro',
  macroman: 'macroman',
  cp1250: 'cp1250',
  cp1251: 'cp1251',
  cp1256: 'cp1256',
  cp1257: 'cp1257',
  cp850: 'cp850',
  cp852: 'cp852',
  cp866: 'cp866',
  cp932: 'cp932',
  sjis: 'shift_jis',
  ujis: 'euc-jp',
  eucjpms: 'euc-jp',
  euckr: 'euc-kr',
  big5: 'big5',
  gb2312: 'gb2312',
  gbk: 'gbk',
  gb18030: 'gb18030',
  tis620: 'tis620',
  armscii8: 'armscii8',
  geostd8: 'georgianps',
};

/**
 * The decoder of a MySQL character set by its name; undefined when there is none.
 * MySQL's latin1 is cp1252 whose five unassigned bytes are C1 controls, which is what windows-1252 means to TextDecoder
 * (iconv's gives U+FFFD for them).
 */
export function textDecoder(charset: string): TextDecode | undefined {
  if (charset === 'utf8mb4' || charset === 'utf8mb3' || charset === 'utf8' || charset === 'ascii')
    return utf8;
  if (charset === 'latin1') return (bytes) => latin1.decode(bytes);
  const name = iconvNames[charset];
  return name === undefined ? undefined : (bytes) => iconv.decode(bytes, name, { stripBOM: false });
}
