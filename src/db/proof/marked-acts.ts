import type { Session } from '../connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { openMarker, type Marker } from './marks.ts';
import { parseStored } from './stored-json.ts';

/** A row of the audit log. */
export interface ActRow {
  id: number;
  at: string;
  actor: string;
  role: string;
  action: string;
  target: string | null;
  details: Readonly<Record<string, unknown>> | null;
}

interface Wanted {
  /** An action, or a prefix that ends in `%`. */
  action: string;
  targets?: readonly string[];
  /** Only this many of the newest. */
  newest?: number;
}

const actsAtOnce = 500;

/**
 * Reads acts of a kind that this program wrote, oldest first: those with a valid mark. Rows that SQL inserted into the audit log are left
 * out. For rare kinds of acts it costs one index lookup. Throws AppError ERR_SECRET_KEY.
 */
export async function readMarkedActs(
  session: Session,
  cipher: Cipher | Marker,
  { action, targets, newest = Infinity }: Wanted,
): Promise<ActRow[]> {
  const found: ActRow[] = [];
  let marker: Marker | undefined = 'encrypt' in cipher ? undefined : cipher;
  for (let before = Number.MAX_SAFE_INTEGER; found.length < newest;) {
    const rows = await session.rows<
      Omit<ActRow, 'details'> & { details: string | null; mark: Buffer | null }
    >(
      `SELECT id, at, actor, role, action, target, details, mark FROM audit_log
       WHERE action ${action.endsWith('%') ? 'LIKE' : '='} ? AND id < ?${targets ? ' AND target IN (?)' : ''}
       ORDER BY id DESC LIMIT ?`,
      [action, before, ...(targets ? [targets] : []), actsAtOnce],
    );
    if (rows.length > 0 && 'encrypt' in cipher) marker ??= await openMarker(session, cipher);
    for (const { mark, details, ...row } of rows) {
      const act = {
        ...row,
        details:
          details === null ? null : (parseStored('audit_log.details', details, row.id) as ActRow['details']),
      };
      if (marker?.isOfAct(mark, act)) found.push(act);
    }
    const last = rows.at(-1);
    if (!last || rows.length < actsAtOnce) break;
    before = last.id;
  }
  return found.slice(0, newest === Infinity ? undefined : newest).reverse();
}
