import type { Session } from '../../db/connection/client.ts';
import { parseStored } from '../../db/proof/stored-json.ts';
import { fromSqlDatetime, toSqlDatetime } from '../../outbox/sql-datetime.ts';
import { maskUrls } from './mask-urls.ts';
import { matchWord, toPage, whereAll, type Condition, type Page, type Paging } from '../page.ts';

/** An entry of the audit log, as shown to people. */
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

/** Lists acts, newest first. */
export async function listActs(
  session: Session,
  { actor, action, target, sinceMs, untilMs }: ActFilter,
  { cursor, limit }: Paging,
): Promise<Page<ActRecord>> {
  const conditions: Condition[] = [];
  if (actor !== undefined) conditions.push(['actor = ?', actor]);
  if (action !== undefined) conditions.push(matchWord('action', action));
  // The column's collation ignores trailing spaces, so bytes are compared too: 45 is not the patient "45 ".
  if (target !== undefined)
    conditions.push(['target = ? AND CAST(target AS BINARY) = CAST(? AS BINARY)', target, target]);
  if (sinceMs !== undefined) conditions.push(['at >= ?', toSqlDatetime(sinceMs)]);
  if (untilMs !== undefined) conditions.push(['at < ?', toSqlDatetime(untilMs)]);
  if (cursor !== undefined) conditions.push(['id < ?', cursor]);
  const { where, values } = whereAll(conditions);
  const rows = await session.rows<
    Omit<ActRecord, 'atMs' | 'details'> & { at: string; details: string | null }
  >(`SELECT id, at, actor, role, action, target, details FROM audit_log ${where} ORDER BY id DESC LIMIT ?`, [
    ...values,
    limit + 1,
  ]);
  const acts = rows.map(({ at, details, ...act }) => ({
    ...act,
    atMs: fromSqlDatetime(at),
    details: details === null ? null : maskUrls(parseStored('audit_log.details', details, act.id)),
  }));
  return toPage(acts, limit);
}
