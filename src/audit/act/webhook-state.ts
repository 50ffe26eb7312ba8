import type { Session } from '../../db/connection/client.ts';
import { eq } from '../../db/schema/drizzle.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { canonical, type Marker } from '../../db/proof/marks.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { isTooLarge, webhookColumns } from '../../db/schema/webhook-columns.ts';
import { maskUrl } from '../../lib/mask-url.ts';
import { tryDecryptCredentials } from '../../outbox/webhook/webhook-credentials.ts';
import { secretContext } from '../../outbox/webhook/webhook-row.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';

/** A webhook as acts record it: every setting that is shown; settings that may be secret or about a patient by name only. */
export interface WebhookState {
  name: string;
  url: string;
  events: unknown;
  is_active: boolean;
  managed_by: string;
  fields: unknown;
  filtered_by: string[];
  header_names: string[];
  order: string;
  max_in_flight: number;
  rate_per_second: number | null;
  timeout_ms: number;
  legacy_signature: boolean;
  /** Absent in acts from before this setting existed. */
  client_certificate?: string | null;
  created_at: string;
  updated_at: string;
  /** Absent in acts from before pauses existed. */
  paused_at?: string | null;
  disabled_at: string | null;
  disabled_reason: string | null;
  deleted_at: string | null;
  rotation_ends_at: string | null;
  /** Range of events that were not queued; both absent in acts from before they were recorded. */
  missed_from?: number | null;
  missed_to?: number | null;
  /** Digests of settings that are not shown: they only reveal that a setting changed. */
  url_digest: string;
  secret: string;
  filter: string;
  headers: string;
}

interface Digesting {
  cipher: Cipher;
  marker: Marker;
}

export function toWebhookState(stored: WebhookRow, { cipher, marker }: Digesting): WebhookState {
  const row = tryDecryptCredentials(stored, cipher);
  const iso = (moment: Date | null): string | null => moment?.toISOString() ?? null;
  const openSecret = (stored: string | null): string | null => {
    try {
      return stored && cipher.decrypt(stored, secretContext(row.id));
    } catch {
      return stored;
    }
  };
  return {
    name: row.name,
    url: maskUrl(row.url),
    events: bounded(row.events),
    is_active: row.isActive,
    managed_by: row.managedBy,
    fields: bounded(row.fields),
    filtered_by: keysOf(row.filter),
    header_names: keysOf(row.headers),
    order: row.deliveryOrder,
    max_in_flight: row.maxInFlight,
    rate_per_second: row.ratePerSecond,
    timeout_ms: row.timeoutMs,
    legacy_signature: row.legacySignature,
    client_certificate: row.clientCertificate,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
    paused_at: iso(row.pausedAt),
    disabled_at: iso(row.disabledAt),
    disabled_reason: row.disabledReason,
    deleted_at: iso(row.deletedAt),
    rotation_ends_at: iso(row.previousSecretExpiresAt),
    missed_from: row.missedFrom,
    missed_to: row.missedTo,
    url_digest: marker.digest(row.url),
    secret: marker.digest([openSecret(row.secret), openSecret(row.previousSecret)]),
    filter: marker.digest(bounded(row.filter, largestDigested)),
    headers: marker.digest(bounded(row.headers, largestDigested)),
  };
}

/** No usable setting is larger: 1,000 events. SQL can write any length, and an act must fit into a packet. */
const largestSetting = 256 * 1_024;
/** A larger value may be unreadable where packets are limited to 1 MiB, and its digest must not depend on the packet size. */
const largestDigested = 200_000;
const tooLarge = { too_large: true } as const;

/** A setting in the form that acts record. */
function bounded(value: unknown, length = largestSetting): unknown {
  return isTooLarge(value) || JSON.stringify(value ?? null).length > length ? tooLarge : canonical(value);
}

function keysOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.keys(value).toSorted()
    : [];
}

/** The state of a webhook's row, deleted or not. Null when there is no row. */
export async function readWebhookState(
  session: Session,
  digesting: Digesting,
  id: number,
): Promise<WebhookState | null> {
  const [row] = await session.drizzle.select(webhookColumns).from(webhooks).where(eq(webhooks.id, id));
  return row ? toWebhookState(row, digesting) : null;
}

/** Columns that existed before acts recorded them: an act without them says nothing about them. */
const isOfLater = (name: string): boolean => name === 'missed_from' || name === 'missed_to';

/** Returns the names of the settings that differ. */
export function differences(before: WebhookState | null, after: WebhookState | null): string[] {
  if (before === null || after === null) return before === after ? [] : ['row'];
  const text = (value: unknown): string => JSON.stringify(canonical(bounded(value) ?? null));
  const names = Object.keys(after).filter(
    (name) =>
      (name in before || !isOfLater(name)) &&
      text(before[name as keyof WebhookState]) !== text(after[name as keyof WebhookState]),
  );
  // If only a masked credential in the URL changed, only the digest differs.
  return [...new Set(names.map((name) => (name === 'url_digest' ? 'url' : name)))];
}

/** Returns, by id, the settings in the last act of each webhook; null if that act records that the row was gone. */
export async function readRecordedStates(
  session: Session,
  marker: Marker,
  id?: number,
): Promise<Map<number, WebhookState | null>> {
  const states = new Map<number, WebhookState | null>();
  const acts = await readMarkedActs(session, marker, {
    action: 'webhook.%',
    ...(id !== undefined && { targets: [String(id)] }),
  });
  for (const { target, details } of acts) {
    const { state } = (details ?? {}) as { state?: WebhookState | null };
    if (state !== undefined && target !== null)
      states.set(Number(target), state && withMaskedUrl(state, marker));
  }
  return states;
}

/** Acts of earlier versions contain the whole URL and no digest of it. */
function withMaskedUrl(state: WebhookState, marker: Marker): WebhookState {
  if ('url_digest' in state) return state;
  const { url } = state as Pick<WebhookState, 'url'>;
  return { ...(state as WebhookState), url: maskUrl(url), url_digest: marker.digest(url) };
}
