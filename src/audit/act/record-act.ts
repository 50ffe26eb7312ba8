import { storedText } from '../../db/proof/stored-json.ts';
import type { WebhookInput } from '../../config/setting/webhook-input.ts';
import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { maskUrls } from './mask-urls.ts';
import { underscored } from '../to-json.ts';
import { readWebhookState } from './webhook-state.ts';

/**
 * Who performed an act: a token's name with its role, the operating-system user at the command line, the configuration file, the engine
 * itself, or SQL for changes that the engine found but did not make.
 */
export interface Actor {
  name: string;
  role: 'admin' | 'operator' | 'auditor' | 'local' | 'file' | 'engine' | 'sql';
}

/** Actor of acts that the engine performs by itself, for a reason that an auditor asks about. */
export const engine: Actor = { name: 'odontology-webhooks', role: 'engine' };

/** Actor of changes from the configuration file; this program does not know who wrote the file. */
export const file: Actor = { name: 'configuration file', role: 'file' };

/** Actor of changes made by SQL, outside this program: the daemon finds the change and does not know who made it. */
export const sql: Actor = { name: 'SQL', role: 'sql' };

/** An act to record. `details` never holds a payload or a secret. */
export interface Act {
  actor: Actor;
  /** Noun and verb: `webhook.rotate-secret`, `capture.accept-gap`. */
  action: string;
  /** Name or id of the object that was acted on. */
  target?: string;
  details?: Readonly<Record<string, unknown>>;
}

/** An act that was written. */
export interface RecordedAct {
  id: number;
  /** UTC, as the store writes it. */
  at: string;
}

/**
 * Writes an act to the audit log, with a mark that only this program can make, in the transaction of the act itself if there is one. Throws
 * AppError ERR_SECRET_KEY if the signing key cannot be decrypted.
 */
export async function recordAct(session: Session, cipher: Cipher, act: Act): Promise<RecordedAct> {
  return writeAct(session, await openMarker(session, cipher), act);
}

/** Same as `recordAct`, with a marker that is already open. */
export async function writeAct(session: Session, marker: Marker, act: Act): Promise<RecordedAct> {
  const [clock] = await session.rows<{ now: string }>('SELECT UTC_TIMESTAMP(3) AS now');
  const at = clock!.now;
  const { actor, action, target = null } = act;
  const details = act.details === undefined ? null : storedText('audit_log.details', maskUrls(act.details));
  const mark = marker.ofAct({
    ...{ at, actor: actor.name, role: actor.role, action, target },
    details: details === null ? null : (JSON.parse(details) as unknown),
  });
  const { insertId } = await session.run(
    'INSERT INTO audit_log (at, actor, role, action, target, details, mark) VALUES (?, ?, ?, ?, ?, ?, ?)',
    [at, actor.name, actor.role, action, target, details, mark],
  );
  return { id: insertId, at };
}

export interface WebhookAct {
  actor: Actor;
  action: `webhook.${string}`;
  details?: Act['details'];
}

/**
 * Records a change of a webhook, within the transaction of the change and after it, with the present settings of the webhook. `audit
 * verify` and the daemon compare them to detect a change that was made by SQL.
 */
export async function recordWebhookAct(
  tx: Session,
  cipher: Cipher,
  id: number,
  { actor, action, details }: WebhookAct,
): Promise<RecordedAct> {
  const marker = await openMarker(tx, cipher);
  const state = await readWebhookState(tx, { cipher, marker }, id);
  return writeAct(tx, marker, { actor, action, target: String(id), details: { ...details, state } });
}

/**
 * Details recorded for a change of a webhook: the names of the changed settings, the URL and the events. Never the secret; filters and
 * headers by name only, because their values may be secrets or about a patient.
 */
export function changeDetails({ url, events, ...rest }: WebhookInput): Act['details'] {
  const said = { ...(url !== undefined && { url }), ...(events && { events }), ...rest };
  return {
    changed: Object.keys(said).map(underscored),
    ...(url !== undefined && { url }),
    ...(events !== undefined && { events }),
  };
}
