import iconv from 'iconv-lite';

/** Character sets that have a different name in iconv-lite. */
const iconvNames: Readonly<Record<string, string>> = {
  utf8mb4: 'utf8',
  utf8mb3: 'utf8',
  ascii: 'utf8',
  latin1: 'cp1252',
  ucs2: 'utf16-be',
  utf16: 'utf16-be',
  utf16le: 'utf16-le',
  utf32: 'utf32-be',
};

export interface MisreadText {
  /** A text in its character set; bytes if the column has no character set (null). */
  ours: string | Uint8Array;
  charset: string | null;
  theirs: unknown;
  /** The character set that zongji used for it; null for bytes. */
  takenFor: string | null;
  /** Whether the text is a list of labels, each stored separately. */
  isSet: boolean;
}

/** Whether `theirs` is the result of decoding the stored bytes of `ours` in another character set. */
export function isMisreadText({ ours, charset, theirs, takenFor, isSet }: MisreadText): boolean {
  const [from, to] = [nameOf(charset), nameOf(takenFor)];
  if (from === to || from === undefined || to === undefined) return false;
  if (isSet && typeof ours === 'string' && typeof theirs === 'string') {
    const [mine, other] = [ours.split(','), theirs.split(',')];
    return mine.length === other.length && mine.every((label, i) => isRead(label, other[i], { from, to }));
  }
  return isRead(ours, theirs, { from, to });
}

function isRead(
  ours: string | Uint8Array,
  theirs: unknown,
  { from, to }: { from: string | null; to: string | null },
): boolean {
  const stored = typeof ours === 'string' ? (from === null ? undefined : iconv.encode(ours, from)) : ours;
  if (stored === undefined) return false;
  if (to === null) return theirs instanceof Uint8Array && Buffer.compare(stored, theirs) === 0;
  return theirs === iconv.decode(Buffer.from(stored), to, { stripBOM: false });
}

/** Undefined if iconv-lite lacks the character set. */
function nameOf(charset: string | null): string | null | undefined {
  if (charset === null) return null;
  const name = iconvNames[charset] ?? charset;
  return iconv.encodingExists(name) ? name : undefined;
}
