import type { Cipher } from '../../crypto/cipher.ts';
import { AppError } from '../../lib/errors.ts';
import { mask, maskUrl } from '../../lib/mask-url.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';

/*
 * Credentials other than the secret: values of headers, and parts of the URL. With an encryption key
 *
 *   url          masked: what identifies the receiver
 *   sealed_url   the whole URL, encrypted; null if no part of it is a credential
 *   headers      a JSON text: the encrypted JSON of the map
 *
 * Without a key everything is in clear text, like secrets. A URL or headers that SQL wrote are used unchanged, and encrypted by `reencryptSecrets`. They
 * are write-only: reading returns masks in their place.
 */

const urlContext = (id: number): string => `url of webhook ${id}`;
const headersContext = (id: number): string => `headers of webhook ${id}`;
const encryptedPrefix = 'enc:v1:';

type Encrypted = Pick<WebhookRow, 'id' | 'url' | 'sealedUrl' | 'headers'>;

/** The row with its URL and headers in the clear. Throws AppError ERR_SECRET_KEY. */
export function decryptCredentials<Row extends Encrypted>(row: Row, cipher: Cipher): Row {
  return { ...row, url: decryptUrl(row, cipher), headers: decryptHeaders(row, cipher) };
}

/** Like `decryptCredentials`, but values that cannot be decrypted stay unchanged. */
export function tryDecryptCredentials<Row extends Encrypted>(row: Row, cipher: Cipher): Row {
  try {
    return decryptCredentials(row, cipher);
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_SECRET_KEY') return row;
    throw error;
  }
}

/** SQL may have replaced the masked URL: then the new URL is used. */
function decryptUrl({ id, url, sealedUrl }: Encrypted, cipher: Cipher): string {
  if (sealedUrl === null) return url;
  const whole = cipher.decrypt(sealedUrl, urlContext(id));
  return maskUrl(whole) === url ? whole : url;
}

function decryptHeaders({ id, headers }: Encrypted, cipher: Cipher): unknown {
  if (typeof headers !== 'string' || !headers.startsWith(encryptedPrefix)) return headers;
  return JSON.parse(cipher.decrypt(headers, headersContext(id))) as unknown;
}

/** Columns for the store, from columns in the clear. */
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

/** Changes of a row whose credentials are in the clear or under an older key; empty if none. */
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
 * Replaces masks with the present credentials, so that a webhook that was read can be sent back. Throws AppError ERR_USAGE for a mask without a
 * credential.
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
