/** Milliseconds since 1970 of a DATETIME(3) that our sessions read as UTC text. */
export function momentMs(text: string): number {
  return Date.parse(`${text.replace(' ', 'T')}Z`);
}

export function nullableMomentMs(text: string | null): number | null {
  return text === null ? null : momentMs(text);
}

/** Milliseconds since 1970 as a DATETIME(3) of UTC, for a statement. */
export function momentText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace('T', ' ');
}
