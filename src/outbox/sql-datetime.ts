/** Milliseconds since 1970 of a DATETIME(3) that our sessions read as UTC text. */
export function fromSqlDatetime(text: string): number {
  return Date.parse(`${text.replace(' ', 'T')}Z`);
}

export function fromNullableSqlDatetime(text: string | null): number | null {
  return text === null ? null : fromSqlDatetime(text);
}

/** Milliseconds since 1970 as a DATETIME(3) of UTC, for a statement. */
export function toSqlDatetime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace('T', ' ');
}
