import type { Session } from '../db/client.ts';
import { momentMs, momentText } from '../outbox/moment.ts';

/** An entry of the audit log, as people see it. */
export interface ActRecord {
  id: number;
  atMs: number;
  actor: string;
  role: string;
  action: string;
  target: string | null;
  details: unknown;
}

export interface ActFilter {
  actor?: string;
  /** An action, or `noun.*`. */
  action?: string;
  target?: string;
  /** From (inclusive) and to (exclusive), ms UTC. */
  sinceMs?: number;
  untilMs?: number;
}

/** A part of a list that grows at its beginning. */
export interface Page<T> {
  items: T[];
  /** Where the next page begins; null after the last. Rows that arrive meanwhile move no later page. */
  nextCursor: number | null;
}

export interface Paging {
  cursor?: number;
  limit: number;
}

/** Who did what, newest first. */
export async function listActs(
  session: Session,
  { actor, action, target, sinceMs, untilMs }: ActFilter,
  { cursor, limit }: Paging,
): Promise<Page<ActRecord>> {
  const conditions: [text: string, value: unknown][] = [];
  if (actor !== undefined) conditions.push(['actor = ?', actor]);
  if (action?.endsWith('.*')) conditions.push(['action LIKE ?', likePrefix(action.slice(0, -1))]);
  else if (action !== undefined) conditions.push(['action = ?', action]);
  if (target !== undefined) conditions.push(['target = ?', target]);
  if (sinceMs !== undefined) conditions.push(['at >= ?', momentText(sinceMs)]);
  if (untilMs !== undefined) conditions.push(['at < ?', momentText(untilMs)]);
  if (cursor !== undefined) conditions.push(['id < ?', cursor]);
  const rows = await session.rows<
    Omit<ActRecord, 'atMs' | 'details'> & { at: string; details: string | null }
  >(
    `SELECT id, at, actor, role, action, target, details FROM audit_log
     ${conditions.length > 0 ? `WHERE ${conditions.map(([text]) => text).join(' AND ')}` : ''}
     ORDER BY id DESC LIMIT ?`,
    [...conditions.map(([, value]) => value), limit + 1],
  );
  return toPage(
    rows.map(({ at, details, ...act }) => ({
      ...act,
      atMs: momentMs(at),
      details: details === null ? null : (JSON.parse(details) as unknown),
    })),
    limit,
  );
}

/** A page of a list that was read one row beyond its limit. */
function toPage<T extends { id: number }>(rows: readonly T[], limit: number): Page<T> {
  const items = rows.slice(0, limit);
  return { items, nextCursor: rows.length > limit ? items.at(-1)!.id : null };
}

/** A pattern for LIKE that means texts with this beginning. */
function likePrefix(prefix: string): string {
  return `${prefix.replace(/[\\%_]/g, '\\$&')}%`;
}
