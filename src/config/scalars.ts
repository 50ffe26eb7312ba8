import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import type { EncryptionKey } from '../db/encryption.ts';
import { type DatabaseUrl, parseDatabaseUrl } from '../lib/database-url.ts';
import { formatDuration, parseDuration } from '../lib/duration.ts';
import { AppError, messageOf } from '../lib/errors.ts';
import { checkSecret } from '../lib/secret.ts';
import { didYouMean } from '../lib/suggest.ts';
import type { PrivateNetwork } from './types.ts';

/*
 * The kinds of single values in the configuration. Each takes what YAML gave (or the text that an environment variable
 * held), says in one sentence what it must be, never repeats the value, and describes itself for editors.
 */

type JsonDescription = Record<string, unknown>;

interface Kind<T> {
  /** Ends the sentence "must be …". */
  mustBe: string;
  /** JSON Schema of a literal value; a reference to the environment is added. */
  json: JsonDescription;
  /** The value; undefined when it is not of the kind. Throws an AppError where there is more to say than `mustBe`. */
  parse(input: unknown): T | undefined;
}

/** What an editor accepts in the place of any value. */
const reference = { type: 'string', pattern: String.raw`\$\{env:` };

function scalar<T>({ mustBe, json, parse }: Kind<T>) {
  return z
    .unknown()
    .meta({ anyOf: [json, reference] })
    .transform((input, context): T => {
      const refuse = (message: string) => {
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      };
      if (input === undefined) return refuse('is missing');
      try {
        return parse(input) ?? refuse(`must be ${mustBe}`);
      } catch (error) {
        if (error instanceof AppError) return refuse(error.message);
        throw error;
      }
    });
}

const ifText =
  <T>(parse: (text: string) => T | undefined) =>
  (input: unknown) =>
    typeof input === 'string' ? parse(input) : undefined;

/** Text that is not empty and has no space at its ends. */
export function text(maximum: number) {
  return scalar<string>({
    mustBe: `text of 1 to ${maximum} characters, in quotes where YAML would read something else`,
    json: { type: 'string', minLength: 1, maxLength: maximum },
    parse: ifText((given) =>
      given.length <= maximum && given !== '' && given.trim() === given ? given : undefined,
    ),
  });
}

/** One of some words. */
export function oneOf<const Word extends string>(words: readonly Word[]) {
  return scalar<Word>({
    mustBe: `one of ${words.join(', ')}`,
    json: { enum: words },
    parse: ifText((given) => {
      const word = words.find((candidate) => candidate === given);
      if (word !== undefined) return word;
      throw new AppError('ERR_CONFIG', `must be one of ${words.join(', ')}${didYouMean(given, words)}`);
    }),
  });
}

export function flag() {
  return scalar<boolean>({
    mustBe: 'true or false',
    json: { type: 'boolean' },
    parse: (input) => {
      if (input === true || input === 'true') return true;
      return input === false || input === 'false' ? false : undefined;
    },
  });
}

export function integer(minimum: number, maximum: number) {
  return scalar<number>({
    mustBe: `a whole number from ${minimum} to ${maximum}`,
    json: { type: 'integer', minimum, maximum },
    parse: (input) => {
      const number = typeof input === 'string' && /^\d{1,15}$/.test(input) ? Number(input) : input;
      const fits = typeof number === 'number' && Number.isInteger(number);
      return fits && number >= minimum && number <= maximum ? number : undefined;
    },
  });
}

/** `15s`, `5m`, `2h` → milliseconds, within bounds that are written the same way. */
export function duration(minimum: string, maximum: string) {
  const [least, most] = [parseDuration(minimum) ?? 0, parseDuration(maximum) ?? Infinity];
  return scalar<number>({
    mustBe: `a duration such as 15s, 5m, 2h or 30d, from ${formatDuration(least)} to ${maximum}`,
    json: { type: 'string', pattern: String.raw`^\d+(\.\d+)?(ms|s|m|h|d|y)$` },
    parse: ifText((given) => {
      const ms = parseDuration(given);
      return ms !== undefined && ms >= least && ms <= most ? ms : undefined;
    }),
  });
}

const byteUnits = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** `64MiB` → bytes. */
export function size(minimum: number, maximum: number) {
  return scalar<number>({
    mustBe: `a size such as 512KiB, 64MiB or 1GiB, from ${minimum / byteUnits.MiB}MiB to ${maximum / byteUnits.MiB}MiB`,
    json: { type: 'string', pattern: '^[0-9]+(KiB|MiB|GiB)$' },
    parse: ifText((given) => {
      const match = /^(\d{1,9})(KiB|MiB|GiB)$/.exec(given);
      if (!match) return undefined;
      const bytes = Number(match[1]) * byteUnits[match[2] as keyof typeof byteUnits];
      return bytes >= minimum && bytes <= maximum ? bytes : undefined;
    }),
  });
}

const rateUnits = { s: 1, m: 60, h: 3_600 };

/** `50/s`, `30/m` → requests a second. */
export function rate() {
  return scalar<number>({
    mustBe: 'a rate such as 50/s, 30/m or 100/h',
    json: { type: 'string', pattern: '^[1-9][0-9]{0,5}/[smh]$' },
    parse: ifText((given) => {
      const match = /^([1-9]\d{0,5})\/([smh])$/.exec(given);
      return match ? Number(match[1]) / rateUnits[match[2] as keyof typeof rateUnits] : undefined;
    }),
  });
}

/** A zone that Intl knows, by its IANA name. */
export function timezone() {
  return scalar<string>({
    mustBe: 'the IANA name of a time zone, such as America/Santo_Domingo',
    json: { type: 'string' },
    parse: ifText((given) => {
      try {
        return new Intl.DateTimeFormat('en', { timeZone: given }).resolvedOptions().timeZone && given;
      } catch {
        const known = Intl.supportedValuesOf('timeZone');
        throw new AppError('ERR_CONFIG', `is not the IANA name of a time zone${didYouMean(given, known)}`);
      }
    }),
  });
}

/** See parseDatabaseUrl; `ssl-ca` is relative to `baseDir`. */
export function databaseUrl(baseDir: string) {
  return scalar<DatabaseUrl>({
    mustBe: 'a database URL: mysql://user:password@host:3306/schema',
    json: { type: 'string', pattern: '^(mysql|mariadb)://' },
    parse: ifText((given) => parseDatabaseUrl(given, { baseDir })),
  });
}

/**
 * 32 bytes as base64 or hex, or `file:PATH` of a file with either; PATH is relative to `baseDir`. The key's id is the beginning of its
 * SHA-256: it follows the key wherever that stands in the configuration, and tells nothing about it.
 */
export function encryptionKey(baseDir: string) {
  return scalar<EncryptionKey>({
    mustBe:
      '32 bytes as base64 or hex, or file: and the path of a file with them (make one: openssl rand -base64 32)',
    json: { type: 'string' },
    parse: ifText((given) => {
      const written = given.startsWith('file:') ? readKeyFile(resolve(baseDir, given.slice(5))) : given;
      const isHex = /^[0-9a-f]{64}$/i.test(written);
      const bytes = Buffer.from(written, isHex ? 'hex' : 'base64');
      if (bytes.length !== 32 || !(isHex || bytes.toString('base64') === written)) return undefined;
      return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 16), bytes };
    }),
  });
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new AppError('ERR_CONFIG', `names a file that cannot be read (${messageOf(error)})`);
  }
}

/** `10.0.0.0/8`, `fd00::/8`, one address, each optionally with a port: `10.1.2.3:8443`, `[fd00::/8]:8443`. */
export function network() {
  return scalar<PrivateNetwork>({
    mustBe:
      'a network such as 10.0.0.0/8 or fd00::/8, optionally with a port: 10.1.2.3/32:8443, [fd00::/8]:8443',
    json: { type: 'string' },
    parse: ifText(parseNetwork),
  });
}

function parseNetwork(given: string): PrivateNetwork | undefined {
  const match = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(given) ?? /^([0-9./]+)(?::(\d{1,5}))?$/.exec(given);
  const [, range = given, portText] = match ?? [];
  const cidr = range.includes('/') ? range : `${range}/${isIP(range) === 6 ? 128 : 32}`;
  if (isIP(cidr.split('/')[0] ?? '') === 0 || !ipaddr.isValidCIDR(cidr)) return undefined;
  if (portText === undefined) return { cidr };
  const port = Number(portText);
  return port >= 1 && port <= 65_535 ? { cidr, port } : undefined;
}

/** `127.0.0.1:8377`, `[::1]:8377`, `localhost:0` → host and port. */
export function listenAddress() {
  return scalar<{ host: string; port: number }>({
    mustBe: 'an address and a port, such as 127.0.0.1:8377 or [::1]:8377',
    json: { type: 'string', pattern: ':[0-9]+$' },
    parse: ifText((given) => {
      const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(given);
      const port = Number(match?.[3]);
      const host = match?.[1] ?? match?.[2];
      return host !== undefined && port <= 65_535 ? { host, port } : undefined;
    }),
  });
}

export function sha256() {
  return scalar<string>({
    mustBe: 'the SHA-256 of the token, 64 hex characters in quotes: printf %s "$TOKEN" | sha256sum',
    json: { type: 'string', pattern: '^[0-9a-fA-F]{64}$' },
    parse: ifText((given) => (/^[0-9a-f]{64}$/i.test(given) ? given.toLowerCase() : undefined)),
  });
}

const eventPatternForm = /^(\*|[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\.(\*|[A-Za-z0-9_-]+))$/;

/** `*`, `noun.*` or `noun.verb`: what checkWebhooks compares with the catalogue. */
export function eventPattern() {
  return scalar<string>({
    mustBe: 'an event such as payment.received, all events of a noun such as "payment.*", or "*"',
    json: { type: 'string', maxLength: 128, pattern: eventPatternForm.source },
    parse: ifText((given) => (given.length <= 128 && eventPatternForm.test(given) ? given : undefined)),
  });
}

/** Whether http:// is allowed and where it may lead is judged later, with the settings of `delivery`. */
export function webhookUrl() {
  return scalar<string>({
    mustBe: 'a URL such as https://api.example.com/webhooks, of at most 2048 characters',
    json: { type: 'string', pattern: '^https?://' },
    parse: ifText((given) => {
      const url = given.length <= 2_048 && /^[\x21-\x7e]+$/.test(given) ? URL.parse(given) : null;
      if (url === null || !['http:', 'https:'].includes(url.protocol)) return undefined;
      if (url.username === '' && url.password === '') return given;
      throw new AppError('ERR_CONFIG', 'has a user or a password: send them as a header, see headers');
    }),
  });
}

/** See lib/secret. */
export function signingSecret() {
  return scalar<string>({
    mustBe: 'a secret: write whsec_ and what `openssl rand -hex 32` prints',
    json: { type: 'string', minLength: 32, maxLength: 512 },
    parse: ifText((given) => {
      const problem = checkSecret(given);
      if (problem === undefined) return given;
      throw new AppError('ERR_CONFIG', `${problem}: write whsec_ and what \`openssl rand -hex 32\` prints`);
    }),
  });
}

/** The value of a header; which headers are allowed is judged by checkWebhooks. */
export function headerValue() {
  return scalar<string>({
    mustBe: 'text, in quotes where YAML would read something else',
    json: { type: 'string' },
    parse: ifText((given) => given),
  });
}

export type FilterValue = string | number | boolean | null;

/** A value, or a list of them; always a list afterwards. */
export function filterValues() {
  const single = ['string', 'number', 'boolean', 'null'];
  return scalar<readonly FilterValue[]>({
    mustBe: 'a value or a list of values: text, numbers, true, false or null',
    json: { anyOf: [{ type: single }, { type: 'array', minItems: 1, items: { type: single } }] },
    parse: (input) => {
      const values: readonly unknown[] = Array.isArray(input) ? input : [input];
      return values.length > 0 && values.every(isFilterValue) ? values : undefined;
    },
  });
}

function isFilterValue(value: unknown): value is FilterValue {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
