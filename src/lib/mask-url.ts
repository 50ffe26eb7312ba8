/** The text that replaces a credential. */
export const mask = '***';

const parts = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/is;

/**
 * Masks a URL for display: scheme, host, port and the words of its path stay, so that the receiver can be identified. User and password, values of the
 * query, and parts of the path that look like a token (as in the URLs of Slack and Discord) are masked. All other bytes stay.
 */
export function maskUrl(url: string): string {
  const [, scheme, authority = '', path = '', query, fragment] = parts.exec(url) ?? [];
  if (scheme === undefined) return mask;
  const host = authority.includes('@')
    ? `${mask}@${authority.slice(authority.lastIndexOf('@') + 1)}`
    : authority;
  const segments = path.split('/').map((segment) => (isReadable(segment) ? segment : mask));
  return `${scheme}${host}${segments.join('/')}${query === undefined ? '' : maskQuery(query)}${fragment === undefined ? '' : `#${mask}`}`;
}

/** Names of parameters stay, but a name without a value may be the credential itself. */
function maskQuery(query: string): string {
  const parameters = query
    .slice(1)
    .split('&')
    .map((parameter) => {
      const [, name] = /^([^=]*)=/.exec(parameter) ?? [];
      if (name === undefined) return parameter === '' ? '' : mask;
      return `${isReadable(name) ? name : mask}=${mask}`;
    });
  return `?${parameters.join('&')}`;
}

const number = /^\d{1,10}$/;
/** `T024BE7LD`: Slack's team, a clinic's code. Tokens are longer. */
const code = /^[A-Z0-9]{1,12}$/;
/** `webhooks`, `v1`, `IncomingWebhook`, `new-payment`, `hook.php`. */
const words = /^(?:[_-]?\p{L}{1,16}\d{0,2}){1}(?:[-_.~]\p{L}{0,16}\d{0,2}){0,5}$/u;
const humps = /^(?:\p{Lu}+|\p{Lu}?\p{Ll}+(?:\p{Lu}\p{Ll}+)*|\p{Lo}+)$/u;

function isReadable(segment: string): boolean {
  if (segment === '' || number.test(segment) || code.test(segment)) return true;
  const text = decode(segment);
  if (text === undefined || !words.test(text)) {
    return (
      text !== undefined &&
      /^\p{L}{17,32}$/u.test(text) &&
      /^(?:\p{Lu}?\p{Ll}{2,12}){2,4}$/u.test(text) &&
      /\p{Lu}/u.test(text)
    );
  }
  return text.split(/[-_.~\d]+/).every((word) => word === '' || humps.test(word));
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
