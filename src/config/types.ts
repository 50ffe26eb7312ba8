import type { EncryptionKey } from '../crypto/cipher.ts';
import type { DatabaseUrl } from '../db/connection/database-url.ts';
import type { LogLevel } from '../lib/log.ts';
import type { Position } from './problems.ts';
import type { WebhookSettings } from './setting/webhook-settings.ts';

export type { Filter, FilterOperators, FilterValue } from './setting/filter.ts';
export type { WebhookSettings } from './setting/webhook-settings.ts';

/** The configuration, complete, checked and frozen. Times are milliseconds, sizes bytes. */
export interface Config {
  /** Path of the configuration file, as given. */
  file: string;
  /** SHA-256 of that file's bytes. */
  fingerprint: string;
  source: SourceConfig;
  store: StoreConfig;
  /** Absolute path of the rules file; null for the built-in catalogue. */
  rulesFile: string | null;
  webhooks: readonly ConfiguredWebhook[];
  /** Defaults of every webhook, also of webhooks created by API and command line. */
  webhookDefaults: WebhookSettings;
  delivery: DeliveryConfig;
  /** The position of each entry of `delivery.client_certificates` in the file. */
  certificatePositions: Readonly<Record<string, Position>>;
  http: HttpConfig;
  /** `key`: the fingerprint that the sealed log's public key must have; null for any. */
  audit: { sealIntervalMs: number; key: string | null };
  retention: { payloadsMs: number; logMs: number };
  log: { level: LogLevel };
}

interface SourceConfig {
  /** `database` is the schema that is read. */
  url: DatabaseUrl;
  /** Where a first run begins. */
  startFrom: 'now' | 'oldest';
  /** IANA name of the clinic's zone. */
  timezone: string;
  /** Replication server id; null to derive it from the installation. */
  serverId: number | null;
  /** How often a heartbeat of the server and our canary row must arrive. */
  heartbeatMs: number;
  /** The memory limit of capture. */
  bufferBytes: number;
}

interface StoreConfig {
  url: DatabaseUrl;
  /** The first key encrypts, all keys decrypt. Empty without encryption at rest. */
  encryptionKeys: readonly EncryptionKey[];
  /** Path of the file whose keys encrypt patients' keys; null when the encryption key encrypts them. */
  keyFile: string | null;
}

/** A webhook that the configuration file manages. */
export interface ConfiguredWebhook extends WebhookSettings {
  name: string;
  url: string;
  /** Event types, `noun.*` or `*`, as written: checkWebhooks compares them with the catalogue. */
  events: readonly string[];
  secret: string;
  /** Positions of its parts in the file, for messages: `''` is the webhook itself, then `url`, `events[0]`, `headers.X-Clinic`, … */
  positions: Readonly<Record<string, Position>>;
}

interface DeliveryConfig {
  /** Maximum number of requests in flight, over all webhooks. */
  concurrency: number;
  /** Delays before the second, third, … attempt. */
  retryScheduleMs: readonly number[];
  disableAfterMs: number;
  /** How long both secrets sign after a rotation. */
  secretOverlapMs: number;
  allowHttp: boolean;
  allowPrivateNetworks: readonly PrivateNetwork[];
  allowedPorts: readonly number[];
  /** The proxies that check target addresses instead of us, by the target's scheme; null for direct connections. */
  proxies: { https: string | null; http: string | null; exempt: readonly string[] } | null;
  /** Certificate authorities (PEM) trusted in addition to the system's. */
  ca: string | null;
  /** Files of the client certificates that identify us to receivers, by name. */
  clientCertificates: Readonly<Record<string, CertificateFiles>>;
}

/** Absolute paths of a certificate and its private key, both PEM. */
export interface CertificateFiles {
  certFile: string;
  keyFile: string;
}

/** A network to which deliveries are allowed, with all allowed ports or one specific port. */
export interface PrivateNetwork {
  cidr: string;
  port?: number;
}

export interface HttpConfig {
  host: string;
  /** 0 for any free port. */
  port: number;
  /** Further host names of the API, in lower case. */
  hosts: readonly string[];
  tokens: readonly ApiToken[];
}

export type Role = 'admin' | 'operator' | 'auditor';

export interface ApiToken {
  name: string;
  role: Role;
  /** SHA-256 of the token, 64 lower-case hex characters. */
  sha256: string;
}
