import { z } from 'zod';
import { databaseUrl, hostName, listenAddress, network, webhookUrl } from './address-scalars.ts';
import { duration, flag, integer, oneOf, size, text, timezone } from './plain-scalars.ts';
import { certificates, encryptionKey, keyFingerprint, sha256, signingSecret } from './secret-scalars.ts';
import { eventPattern, webhookName } from './webhook-scalars.ts';
import { settingChecks } from './webhook-settings.ts';

const mebibyte = 2 ** 20;

/** Far more entries than event types exist; a list of 200,000 entries stalled the process for 8.5 s. */
export const maximumEvents = 1_000;

/** The keys of a webhook, each with its check. */
export const webhookShape = {
  name: webhookName().describe(
    'Its name for people and in the log; it must be unique, and must not consist of digits alone, because these are an id.',
  ),
  url: webhookUrl().describe('The URL that receives its events.'),
  events: z
    .array(eventPattern())
    .min(1, 'is empty: name at least one event, or "*" for all')
    .max(maximumEvents, `names more than ${maximumEvents} events: use "noun.*" or "*"`)
    .refine((events) => new Set(events).size === events.length, 'names an event twice')
    .meta({ uniqueItems: true })
    .describe('Event types (payment.received), all of a noun ("payment.*"), or all ("*").'),
  secret: signingSecret().describe('The signing secret: whsec_ and 64 hex characters, best as ${env:NAME}.'),
  ...settingChecks,
};

const token = z.strictObject({
  name: text(255).describe('The name of its holder, for the audit log.'),
  role: oneOf(['admin', 'operator', 'auditor']).describe('The permissions of the token.'),
  sha256: sha256().describe('The SHA-256 of the token, in hex; never the token itself.'),
});

/**
 * The shape of the configuration after the defaults are merged into it. Paths in it are relative to `baseDir`.
 * `parse` returns milliseconds, bytes, parsed addresses; toConfig names them.
 */
export function createConfigSchema(baseDir: string) {
  return z.strictObject({
    source: z.strictObject({
      url: databaseUrl(baseDir),
      start_from: oneOf(['now', 'oldest']),
      timezone: timezone(),
      server_id: integer(1, 4_294_967_295).nullable(),
      heartbeat: duration('500ms', '5m'),
      buffer: size(mebibyte, 16_384 * mebibyte),
    }),
    store: z.strictObject({
      url: databaseUrl(baseDir).nullable(),
      encryption_key: encryptionKey(baseDir).nullable(),
      old_encryption_keys: z.array(encryptionKey(baseDir)),
      key_file: text(4_096).nullable(),
    }),
    rules: text(4_096).nullable(),
    webhook_defaults: z.strictObject(settingChecks),
    webhooks: z.array(z.strictObject(webhookShape)),
    delivery: z.strictObject({
      concurrency: integer(1, 4_096),
      retry_schedule: z.array(duration('100ms', '30d')).min(1, 'is empty: give at least one delay'),
      disable_after: duration('1m', '1y'),
      secret_overlap: duration('0s', '90d'),
      allow_http: flag(),
      allow_private_networks: z.array(network()),
      allowed_ports: z.array(integer(1, 65_535)),
      proxy_is_guard: flag(),
      ca_file: certificates(baseDir).nullable(),
      client_certificates: z.record(
        text(64),
        z.strictObject({
          cert_file: text(4_096).describe(
            'The certificate in PEM form, followed by the intermediate certificates.',
          ),
          key_file: text(4_096).describe('Its private key in PEM form, without a password.'),
        }),
      ),
    }),
    http: z.strictObject({ listen: listenAddress(), hosts: z.array(hostName()), tokens: z.array(token) }),
    audit: z.strictObject({ seal_interval: duration('1s', '1d'), key: keyFingerprint().nullable() }),
    retention: z.strictObject({ payloads: duration('1m', '100y'), log: duration('1m', '100y') }),
    log: z.strictObject({ level: oneOf(['debug', 'info', 'warn', 'error', 'silent']) }),
  });
}

export type ParsedConfig = z.output<ReturnType<typeof createConfigSchema>>;
