import { resolve } from 'node:path';
import { withDatabase } from '../../db/connection/database-url.ts';
import { type Environment, findProxies } from '../yaml/env.ts';
import { formatPath, type Position, type YamlPath } from '../problems.ts';
import type { ParsedConfig } from './schema.ts';
import type { Config, ConfiguredWebhook } from '../types.ts';
import { toSettings } from './webhook-settings.ts';
import type { YamlFile } from '../yaml/yaml-file.ts';

const storeSchema = 'odontology_webhooks';

export interface Parsed {
  parsed: ParsedConfig;
  yaml: YamlFile;
  baseDir: string;
  env: Environment;
}

/** Maps the checked values of the file to the names that the code uses, which include units. */
export function toConfig({ parsed, yaml, baseDir, env }: Parsed): Config {
  const { source, store, delivery, http } = parsed;
  return {
    file: yaml.file,
    fingerprint: yaml.fingerprint,
    source: {
      url: source.url,
      startFrom: source.start_from,
      timezone: source.timezone,
      serverId: source.server_id,
      heartbeatMs: source.heartbeat,
      bufferBytes: source.buffer,
    },
    store: {
      url: store.url?.database ? store.url : withDatabase(store.url ?? source.url, storeSchema),
      encryptionKeys: store.encryption_key ? [store.encryption_key, ...store.old_encryption_keys] : [],
      keyFile: store.key_file === null ? null : resolve(baseDir, store.key_file),
    },
    rulesFile: parsed.rules === null ? null : resolve(baseDir, parsed.rules),
    webhooks: parsed.webhooks.map((webhook, index) => toWebhook(webhook, index, yaml)),
    webhookDefaults: toSettings(parsed.webhook_defaults),
    delivery: {
      concurrency: delivery.concurrency,
      retryScheduleMs: delivery.retry_schedule,
      disableAfterMs: delivery.disable_after,
      secretOverlapMs: delivery.secret_overlap,
      allowHttp: delivery.allow_http,
      allowPrivateNetworks: delivery.allow_private_networks,
      allowedPorts: delivery.allowed_ports,
      proxies: toProxies(env),
      ca: delivery.ca_file,
      clientCertificates: toCertificateFiles(delivery.client_certificates, baseDir),
    },
    certificatePositions: Object.fromEntries(
      Object.keys(delivery.client_certificates).map((name) => [
        name,
        yaml.at(['delivery', 'client_certificates', name]),
      ]),
    ),
    http: { ...http.listen, hosts: http.hosts, tokens: http.tokens },
    audit: { sealIntervalMs: parsed.audit.seal_interval, key: parsed.audit.key },
    retention: { payloadsMs: parsed.retention.payloads, logMs: parsed.retention.log },
    log: parsed.log,
  };
}

function toCertificateFiles(
  written: ParsedConfig['delivery']['client_certificates'],
  baseDir: string,
): Config['delivery']['clientCertificates'] {
  const entries = Object.entries(written).map(([name, files]) => [
    name,
    { certFile: resolve(baseDir, files.cert_file), keyFile: resolve(baseDir, files.key_file) },
  ]);
  return Object.fromEntries(entries) as Config['delivery']['clientCertificates'];
}

function toProxies(env: Environment): Config['delivery']['proxies'] {
  const found = findProxies(env);
  return found && { https: found.https, http: found.http, exempt: found.exempt };
}

type ParsedWebhook = ParsedConfig['webhooks'][number];

function toWebhook(webhook: ParsedWebhook, index: number, yaml: YamlFile): ConfiguredWebhook {
  const { name, url, events, secret } = webhook;
  return {
    name,
    url,
    events,
    secret,
    ...toSettings(webhook),
    positions: findPositions(webhook, index, yaml),
  };
}

function findPositions(webhook: ParsedWebhook, index: number, yaml: YamlFile): Record<string, Position> {
  const paths: YamlPath[] = [
    [],
    ...Object.keys(webhook).map((key) => [key]),
    ...webhook.events.map((_, item) => ['events', item]),
    ...Object.keys(webhook.headers).map((header) => ['headers', header]),
  ];
  return Object.fromEntries(paths.map((path) => [formatPath(path), yaml.at(['webhooks', index, ...path])]));
}
