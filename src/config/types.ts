import type { EncryptionKey } from '../crypto/cipher.ts';
import type { DatabaseUrl } from '../db/connection/database-url.ts';
import type { LogLevel } from '../lib/log.ts';
import type { Position } from './problems.ts';

/** The configuration, complete, checked and frozen. Times are milliseconds, sizes bytes. */
export interface Config {
  /** The file it was read from, as given. */
  file: string;
  /** SHA-256 of that file's bytes. */
  fingerprint: string;
  source: SourceConfig;
  store: StoreConfig;
  /** Absolute path of the rules file; null for the built-in catalogue. */
  rulesFile: string | null;
  webhooks: readonly ConfiguredWebhook[];
  /** What a webhook has that does not say otherwise, those made by API and command line included. */
  webhookDefaults: WebhookSettings;
  delivery: DeliveryConfig;
  /** Where each entry of `delivery.client_certificates` is in the file. */
  certificatePositions: Readonly<Record<string, Position>>;
  http: HttpConfig;
  audit: { sealIntervalMs: number };
  retention: { payloadsMs: number; logMs: number };
  log: { level: LogLevel };
}

interface SourceConfig {
  /** With the schema that is read in `database`. */
  url: DatabaseUrl;
  /** Where a first run begins. */
  startFrom: 'now' | 'oldest';
  /** IANA name of the clinic's zone. */
  timezone: string;
  /** Replication server id; null for one derived from the installation. */
  serverId: number | null;
  /** How often the server and our canary row must be heard. */
  heartbeatMs: number;
  /** What capture may hold in memory. */
  bufferBytes: number;
}

interface StoreConfig {
  url: DatabaseUrl;
  /** The first encrypts, every one decrypts. Empty without encryption at rest. */
  encryptionKeys: readonly EncryptionKey[];
  /** Of the file with which patients' keys are sealed; null where the encryption key does it. */
  keyFile: string | null;
}

export type FilterValue = string | number | boolean;

/** All that are given must hold. A value that is null meets only `exists: false`. */
export interface FilterOperators {
  gt?: string | number;
  gte?: string | number;
  lt?: string | number;
  lte?: string | number;
  /** None of these. */
  not?: readonly FilterValue[];
  prefix?: string;
  exists?: boolean;
}

/** Field of data, or column of the changed row → the values that it may have, or what must hold of its value. */
export type Filter = Readonly<Record<string, readonly FilterValue[] | FilterOperators>>;

/** What is optional in a webhook. */
export interface WebhookSettings {
  isActive: boolean;
  /** null lets everything pass. */
  filter: Filter | null;
  /** The fields of `data` that are sent; null for all. */
  fields: readonly string[] | null;
  headers: Readonly<Record<string, string>>;
  order: 'entity' | 'none';
  maxInFlight: number;
  /** Requests a second; null is without a limit. */
  ratePerSecond: number | null;
  timeoutMs: number;
  legacySignature: boolean;
  /** A name in `delivery.client_certificates`; null for none. */
  clientCertificate: string | null;
}

/** A webhook of the file, which manages it. */
export interface ConfiguredWebhook extends WebhookSettings {
  name: string;
  url: string;
  /** Event types, `noun.*` or `*`, as written: checkWebhooks compares them with the catalogue. */
  events: readonly string[];
  secret: string;
  /** Where its parts stand, for messages: `''` is the webhook itself, then `url`, `events[0]`, `headers.X-Clinic`, … */
  positions: Readonly<Record<string, Position>>;
}

interface DeliveryConfig {
  /** Requests in flight at most, of all webhooks together. */
  concurrency: number;
  /** Delays before the second, third, … attempt. */
  retryScheduleMs: readonly number[];
  disableAfterMs: number;
  /** How long both secrets sign after a rotation. */
  secretOverlapMs: number;
  allowHttp: boolean;
  allowPrivateNetworks: readonly PrivateNetwork[];
  allowedPorts: readonly number[];
  /** The proxies that check addresses in our place, by the target's scheme; null for direct connections. */
  proxies: { https: string | null; http: string | null; exempt: readonly string[] } | null;
  /** Certificate authorities (PEM) trusted beside the system's. */
  ca: string | null;
  /** Files of the certificates with which receivers know us, by name. */
  clientCertificates: Readonly<Record<string, CertificateFiles>>;
}

/** Absolute paths of a certificate and its private key, both PEM. */
export interface CertificateFiles {
  certFile: string;
  keyFile: string;
}

/** A network opened to deliveries, all allowed ports or one of its own. */
export interface PrivateNetwork {
  cidr: string;
  port?: number;
}

export interface HttpConfig {
  host: string;
  /** 0 for any free port. */
  port: number;
  /** Further names, in lower case, under which the API may be asked. */
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
