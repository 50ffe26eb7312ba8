const maximumHeaders = 20;
const maximumBytes = 4_096;

/** Headers that frame or route the request, or that we set: a webhook may not set them. */
const reserved = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
]);

const reservedPrefixes = ['proxy-', 'webhook-', 'x-webhook-', 'x-forwarded-', ':'];

function checkHeader(name: string, value: string): string | undefined {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))
    return `the name of a header has characters that no name may have, such as a space`;
  const lower = name.toLowerCase();
  if (reserved.has(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix))) {
    return `the header ${name} would change the request: it is not for webhooks to set`;
  }
  // Printable ASCII and tabs: a line end would begin another header, and the encoding of other characters is undefined.
  if (!/^[\t\x20-\x7e]*$/.test(value))
    return `the value of the header ${name} has characters that are not printable ASCII`;
  return undefined;
}

/** Returns the problems of a webhook's own headers as sentences that do not quote values; empty without a problem. */
export function checkWebhookHeaders(headers: Readonly<Record<string, string>>): string[] {
  const entries = Object.entries(headers);
  const problems = entries.flatMap(([name, value]) => checkHeader(name, value) ?? []);
  const lower = entries.map(([name]) => name.toLowerCase());
  const twice = new Set(lower.filter((name, index) => lower.indexOf(name) !== index));
  for (const name of twice) problems.push(`the header ${name} is given twice`);
  if (entries.length > maximumHeaders) problems.push(`there are more than ${maximumHeaders} headers`);
  const bytes = entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (bytes > maximumBytes) problems.push(`the headers have more than ${maximumBytes} bytes`);
  return problems;
}
