import type { Cipher } from '../../crypto/cipher.ts';
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
const encryptedPrefix = 'enc:v1:';

type Encrypted = Pick<WebhookRow, 'id' | 'url' | 'sealedUrl' | 'headers'>;

/** The row with its URL and headers in the clear. Throws AppError ERR_SECRET_KEY. */
export function decryptCredentials<Row extends Encrypted>(row: Row, cipher: Cipher): Row {
  return { ...row, url: decryptUrl(row, cipher), headers: decryptHeaders(row, cipher) };
}

/** As `decryptCredentials`; what does not open stays as it is. */
export function tryDecryptCredentials<Row extends Encrypted>(row: Row, cipher: Cipher): Row {
  try {
    return decryptCredentials(row, cipher);
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_SECRET_KEY') return row;
    throw error;
  }
}

/** SQL may have written another URL over the masked one: then that one counts. */
function decryptUrl({ id, url, sealedUrl }: Encrypted, cipher: Cipher): string {
  if (sealedUrl === null) return url;
  const whole = cipher.decrypt(sealedUrl, urlContext(id));
  return maskUrl(whole) === url ? whole : url;
}

function decryptHeaders({ id, headers }: Encrypted, cipher: Cipher): unknown {
  if (typeof headers !== 'string' || !headers.startsWith(encryptedPrefix)) return headers;
  return JSON.parse(cipher.decrypt(headers, headersContext(id))) as unknown;
}

/** Columns as the store keeps them, from columns in the clear. */
export function encryptCredentials(
  cipher: Cipher,
  id: number,
  columns: Partial<WebhookRow>,
): Partial<WebhookRow> {
  const { url, headers } = columns;
  return {
    ...columns,
    ...(url !== undefined && encryptUrl(cipher, id, url)),
    ...(headers !== undefined && { headers: encryptHeaders(cipher, id, headers) }),
  };
}

function encryptUrl(cipher: Cipher, id: number, url: string): Pick<WebhookRow, 'url' | 'sealedUrl'> {
  const shown = maskUrl(url);
  if (cipher.keyId === null || shown === url) return { url, sealedUrl: null };
  return { url: shown, sealedUrl: cipher.encrypt(url, urlContext(id)) };
}

function encryptHeaders(cipher: Cipher, id: number, headers: unknown): unknown {
  const isEmpty = typeof headers !== 'object' || headers === null || Object.keys(headers).length === 0;
  return cipher.keyId === null || isEmpty
    ? headers
    : cipher.encrypt(JSON.stringify(headers), headersContext(id));
}

/** What changes of the row where its credentials are in the clear or under an older key; empty where nothing does. */
export function reencryptCredentials(row: WebhookRow, cipher: Cipher): Partial<WebhookRow> {
  if (cipher.keyId === null) return {};
  const open = tryDecryptCredentials(row, cipher);
  const isClearUrl = open.url === row.url && maskUrl(row.url) !== row.url && !row.url.includes(mask);
  const isStaleUrl = row.sealedUrl !== null && open.url !== row.url && cipher.isStale(row.sealedUrl);
  const isStaleHeaders = typeof row.headers !== 'string' || (open !== row && cipher.isStale(row.headers));
  return encryptCredentials(cipher, row.id, {
    ...((isClearUrl || isStaleUrl) && { url: open.url }),
    ...(isStaleHeaders &&
      encryptHeaders(cipher, row.id, open.headers) !== row.headers &&
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
