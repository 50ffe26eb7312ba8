import type { SecretBox } from '../../crypto/encryption.ts';
import { AppError } from '../../lib/errors.ts';
import { mask, maskUrl } from '../../lib/mask-url.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';

/*
 * Credentials beside the secret: values of headers, and what of the URL is one. With an encryption key
 *
 *   url          masked: what identifies the receiver
 *   sealed_url   the whole, sealed; null where nothing of it is a credential
 *   headers      a JSON text: the sealed JSON of the map
 *
 * Without a key all is in clear text, as secrets are. A URL or headers that SQL wrote are taken as they are, and sealed by
 * `resealSecrets`. They are written and never shown: what is read has masks in their places.
 */

const urlContext = (id: number): string => `url of webhook ${id}`;
const headersContext = (id: number): string => `headers of webhook ${id}`;
const sealedPrefix = 'enc:v1:';

type Sealed = Pick<WebhookRow, 'id' | 'url' | 'sealedUrl' | 'headers'>;

/** The row with its URL and headers in the clear. Throws AppError ERR_SECRET_KEY. */
export function openCredentials<Row extends Sealed>(row: Row, box: SecretBox): Row {
  return { ...row, url: openUrl(row, box), headers: openHeaders(row, box) };
}

/** As `openCredentials`; what does not open stays as it is. */
export function tryOpenCredentials<Row extends Sealed>(row: Row, box: SecretBox): Row {
  try {
    return openCredentials(row, box);
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_SECRET_KEY') return row;
    throw error;
  }
}

/** SQL may have written another URL over the masked one: then that one counts. */
function openUrl({ id, url, sealedUrl }: Sealed, box: SecretBox): string {
  if (sealedUrl === null) return url;
  const whole = box.open(sealedUrl, urlContext(id));
  return maskUrl(whole) === url ? whole : url;
}

function openHeaders({ id, headers }: Sealed, box: SecretBox): unknown {
  if (typeof headers !== 'string' || !headers.startsWith(sealedPrefix)) return headers;
  return JSON.parse(box.open(headers, headersContext(id))) as unknown;
}

/** Columns as the store keeps them, from columns in the clear. */
export function sealCredentials(
  box: SecretBox,
  id: number,
  columns: Partial<WebhookRow>,
): Partial<WebhookRow> {
  const { url, headers } = columns;
  return {
    ...columns,
    ...(url !== undefined && sealUrl(box, id, url)),
    ...(headers !== undefined && { headers: sealHeaders(box, id, headers) }),
  };
}

function sealUrl(box: SecretBox, id: number, url: string): Pick<WebhookRow, 'url' | 'sealedUrl'> {
  const shown = maskUrl(url);
  if (box.keyId === null || shown === url) return { url, sealedUrl: null };
  return { url: shown, sealedUrl: box.seal(url, urlContext(id)) };
}

function sealHeaders(box: SecretBox, id: number, headers: unknown): unknown {
  const isEmpty = typeof headers !== 'object' || headers === null || Object.keys(headers).length === 0;
  return box.keyId === null || isEmpty ? headers : box.seal(JSON.stringify(headers), headersContext(id));
}

/** What changes of the row where its credentials are in the clear or under an older key; empty where nothing does. */
export function resealCredentials(row: WebhookRow, box: SecretBox): Partial<WebhookRow> {
  if (box.keyId === null) return {};
  const open = tryOpenCredentials(row, box);
  const isClearUrl = open.url === row.url && maskUrl(row.url) !== row.url && !row.url.includes(mask);
  const isStaleUrl = row.sealedUrl !== null && open.url !== row.url && box.isStale(row.sealedUrl);
  const isStaleHeaders = typeof row.headers !== 'string' || (open !== row && box.isStale(row.headers));
  return sealCredentials(box, row.id, {
    ...((isClearUrl || isStaleUrl) && { url: open.url }),
    ...(isStaleHeaders &&
      sealHeaders(box, row.id, open.headers) !== row.headers &&
      typeof open.headers === 'object' &&
      open.headers !== null &&
      Object.keys(open.headers).length > 0 && { headers: open.headers }),
  });
}

export function maskHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, mask]));
}

interface Changes {
  url?: string;
  headers?: Readonly<Record<string, string>>;
}

/**
 * Puts the present credentials in the places of masks: what was read can be sent back. Throws AppError ERR_USAGE for a mask that stands for
 * nothing.
 */
export function unmask<Given extends Changes>(
  given: Given,
  present?: Pick<WebhookRow, 'url' | 'headers'>,
): Given {
  const { url, headers } = given;
  const known = (present?.headers ?? {}) as Readonly<Record<string, unknown>>;
  const whole =
    url !== undefined && present !== undefined && url === maskUrl(present.url) ? present.url : url;
  if (whole !== undefined && whole !== present?.url && whole.includes(mask)) throw masked('url');
  return {
    ...given,
    ...(whole !== undefined && { url: whole }),
    ...(headers !== undefined && {
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => {
          if (value !== mask) return [name, value];
          if (!Object.hasOwn(known, name)) throw masked(`headers.${name}`);
          return [name, String(known[name])];
        }),
      ),
    }),
  };
}

function masked(key: string): AppError {
  return new AppError('ERR_USAGE', `${key} has a masked part (${mask})`, {
    remedy: 'Write the whole value.',
  });
}
