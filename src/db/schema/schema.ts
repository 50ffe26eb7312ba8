import {
  bigint,
  boolean,
  double,
  index,
  int,
  mysqlCore,
  mysqlEnum,
  mysqlTable,
  smallint,
  sql,
  tinyint,
  uniqueIndex,
} from './drizzle.ts';
import {
  ascii,
  attemptMark,
  digest,
  editedMoment,
  inputJson,
  json,
  longText,
  mark,
  mediumBlob,
  rowKey,
  text,
  utcMoment,
} from './columns.ts';

/*
 * The store. The data that people read and the data that the engine works on are separate:
 *
 *   event_log, delivery_log, attempts, audit_log   the log: grows for years, is only appended to
 *   queue                                          one small row for each delivery that has not ended
 *   checkpoint                                     one row: where capture continues, and the counters of the log
 *
 * so that claiming costs the same with ten million deliveries in the log as with ten. Auditors read the views `events` and
 * `webhook_deliveries` (migration 0001), which also hide the rows of a transaction that is still being staged. There are no foreign keys:
 * they would cost a look-up for each row written, and the log outlives the webhook.
 */

const utcNow = sql`(utc_timestamp(3))`;
const number = { mode: 'number' } as const;

/** One row: the identity of this installation towards the source server. */
export const installation = mysqlTable('installation', {
  id: tinyint().primaryKey(),
  uuid: ascii({ length: 36 }).notNull(),
  /** The replication server id, derived from the uuid. */
  serverId: bigint('server_id', number).notNull(),
  /** Payloads of the log's events up to this seq have been pruned. */
  payloadsPrunedTo: bigint('payloads_pruned_to', number).notNull().default(0),
  /** The log's events up to this seq are encrypted, including those from before a key was configured. */
  payloadsSealedTo: bigint('payloads_sealed_to', number).notNull().default(0),
  /** The id of the key file with which patients' keys are encrypted (db/key-file); null before there is one. */
  keyFile: ascii('key_file', { length: 16 }),
  createdAt: utcMoment('created_at').notNull().default(utcNow),
  /** What was compared with zongji, the differences, and which of them were accepted (outbox/decoder-record); null before. */
  decoderCheck: json('decoder_check'),
});

/** The seed's table. A row inserted by hand with name, url, events and secret is a complete webhook. */
export const webhooks = mysqlTable('webhooks', {
  id: int().autoincrement().primaryKey(),
  name: text({ length: 255 }).notNull(),
  url: text({ length: 2048 }).notNull(),
  events: inputJson().notNull(),
  /** In clear text, or encrypted by db/encryption. */
  secret: text({ length: 1024 }).notNull(),
  isActive: boolean('is_active').notNull().default(true),
  createdAt: editedMoment('created_at')
    .notNull()
    .default(sql`current_timestamp(3)`),
  updatedAt: editedMoment('updated_at')
    .notNull()
    .default(sql`current_timestamp(3) on update current_timestamp(3)`),
  managedBy: mysqlEnum('managed_by', ['database', 'file']).notNull().default('database'),
  /** The former secret: until a rotation ends, signatures are made with both secrets. */
  previousSecret: text('previous_secret', { length: 1024 }),
  previousSecretExpiresAt: utcMoment('previous_secret_expires_at'),
  filter: inputJson(),
  fields: inputJson(),
  /** A map, or a text that is the encrypted map. */
  headers: inputJson(),
  /** The URL with its credentials, encrypted by db/encryption; null if `url` is complete. */
  sealedUrl: ascii('sealed_url', { length: 12_000 }),
  deliveryOrder: mysqlEnum('delivery_order', ['entity', 'none']).notNull().default('entity'),
  maxInFlight: int('max_in_flight').notNull().default(8),
  ratePerSecond: double('rate_per_second'),
  timeoutMs: int('timeout_ms').notNull().default(15_000),
  legacySignature: boolean('legacy_signature').notNull().default(true),
  /** A name in `delivery.client_certificates`. */
  clientCertificate: text('client_certificate', { length: 64 }),
  /** Time of the first failure after the last success; null while deliveries succeed. */
  failingSince: utcMoment('failing_since'),
  /** Set if the engine disabled it, not a person: its events are still queued, and are sent once it is enabled. */
  disabledAt: utcMoment('disabled_at'),
  disabledReason: ascii('disabled_reason', { length: 32 }),
  /** When a person paused it: its events are queued and nothing is sent. */
  pausedAt: utcMoment('paused_at'),
  /** The first event that was not queued because the webhook was inactive or its row unusable; null if none is missing. */
  missedFrom: bigint('missed_from', number),
  /** The first event after the missing ones; null while events are still not queued, and until every process queues them again. */
  missedTo: bigint('missed_to', number),
  /** Deleting keeps the row, because the log refers to it. */
  deletedAt: utcMoment('deleted_at'),
});

export type WebhookRow = typeof webhooks.$inferSelect;

/** Every event, once, whatever the number of its subscribers. `seq` is assigned under the lock of `checkpoint`. */
export const eventLog = mysqlTable(
  'event_log',
  {
    seq: bigint(number).primaryKey(),
    id: ascii({ length: 36 }).notNull(),
    type: text({ length: 128 }).notNull(),
    entityTable: text('entity_table', { length: 64 }).notNull(),
    entityKey: rowKey('entity_key', { length: 255 }).notNull(),
    /** The patient whose data it carries; null for an event about no patient. */
    subject: rowKey({ length: 255 }),
    transactionId: text('transaction_id', { length: 255 }).notNull(),
    occurredAt: utcMoment('occurred_at').notNull(),
    /** 0, or the number of the staging that wrote it: visible once `checkpoint.staging` is greater. */
    staging: int().notNull().default(0),
    createdAt: utcMoment('created_at').notNull().default(utcNow),
    /** Columns of the row that the binlog had omitted, read from the table later than the change; null for none. */
    readLate: json('read_late'),
    /** The exact bytes that are sent, or their ciphertext (src/outbox/payload/payloads.ts); null once pruned or erased. */
    body: longText(),
  },
  (table) => [
    uniqueIndex('event_log_id').on(table.id),
    index('event_log_occurred_at').on(table.occurredAt),
    index('event_log_entity').on(table.entityTable, table.entityKey),
    index('event_log_subject').on(table.subject),
  ],
);

/** Every delivery: one event to one webhook, with its last outcome. */
export const deliveryLog = mysqlTable(
  'delivery_log',
  {
    id: bigint(number).primaryKey(),
    webhookId: int('webhook_id').notNull(),
    eventSeq: bigint('event_seq', number).notNull(),
    /** `open` while it has a row in `queue`. */
    status: mysqlEnum(['open', 'delivered', 'exhausted']).notNull().default('open'),
    responseStatus: smallint('response_status'),
    deliveredAt: utcMoment('delivered_at'),
    /** Time of the last failed attempt; null again once delivered. */
    failedAt: utcMoment('failed_at'),
    /** Null except for the few exhausted deliveries, so that its index finds them among millions. */
    exhaustedAt: utcMoment('exhausted_at'),
    /** Attempts after the first. */
    retryCount: int('retry_count').notNull().default(0),
    createdAt: utcMoment('created_at').notNull().default(utcNow),
    /** Retained as long as the payload: a receiver may echo what it was sent. */
    responseBody: longText('response_body'),
    /**
     * Blanks until there is an outcome. An outcome that makes the row longer splits its page: the server took 39 µs for it, and takes 24 if
     * the outcome replaces the blanks (MySQL 9.7, 500 at once).
     */
    reserve: ascii({ length: 16 }),
    /** The delivery's own body, if the webhook asks for only some `fields`; otherwise null, and the event's body is sent. */
    payload: longText(),
    /** Proves that this program placed it, with this body (src/db/proof/marks.ts). Null in rows of earlier versions. */
    mark: attemptMark(),
  },
  (table) => [
    uniqueIndex('delivery_log_event').on(table.eventSeq, table.webhookId),
    index('delivery_log_webhook').on(table.webhookId),
    index('delivery_log_exhausted').on(table.exhaustedAt),
  ],
);

/**
 * The deliveries that have not ended.
 *
 *   waiting ──promote──▶ pending ──claim──▶ sending ──settle──▶ (row gone: delivered or exhausted)
 *                           ▲                  │
 *                           └──retry, rescue───┘
 *
 * A lane (one webhook and one entity) has at most one row that is pending, or some that one process is sending one after the other: the
 * other rows wait until these end.
 */
export const queue = mysqlTable(
  'queue',
  {
    deliveryId: bigint('delivery_id', number).primaryKey(),
    webhookId: int('webhook_id').notNull(),
    eventSeq: bigint('event_seq', number).notNull(),
    /** Hash of webhook and entity; null if nothing has to wait (`order: none`). */
    lane: bigint(number),
    state: mysqlEnum(['sending', 'pending', 'waiting']).notNull(),
    /** pending: when it is to be sent; sending: when the claim expires; waiting: null. */
    dueAt: utcMoment('due_at'),
    /** Attempts begun; while sending, the number of the present one. */
    attempt: int().notNull().default(0),
    /** Attempts before a person last reopened it: the retry schedule counts from here. */
    attemptsBefore: int('attempts_before').notNull().default(0),
    /**
     * While sending, when and by which process it was claimed. Otherwise when and by which process it was last claimed or queued: a row
     * that got these values only when it is claimed would grow, and its page would be split.
     */
    claimedAt: utcMoment('claimed_at'),
    claimedBy: ascii('claimed_by', { length: 64 }),
    /** For the index of lanes: unlike `state` it does not change when a delivery is claimed, so its index entry does not move. */
    waiting: boolean().generatedAlwaysAs(sql`state = 'waiting'`, { mode: 'stored' }),
  },
  (table) => [
    index('queue_due').on(table.state, table.webhookId, table.dueAt),
    index('queue_lane').on(table.lane, table.waiting, table.eventSeq),
  ],
);

/** Old events whose payload is kept beyond its retention time, because a delivery of them is still open. */
export const keptPayloads = mysqlTable('kept_payloads', {
  eventSeq: bigint('event_seq', number).primaryKey(),
});

/** Exhausted deliveries, until the event `delivery.exhausted` of each is in the log. */
export const exhaustedDeliveries = mysqlTable(
  'exhausted_deliveries',
  {
    deliveryId: bigint('delivery_id', number).notNull(),
    /** The number of its last attempt: a delivery that a person sends again may be exhausted again. */
    attempt: int().notNull(),
  },
  (table) => [mysqlCore.primaryKey({ columns: [table.deliveryId, table.attempt] })],
);

/** Every attempt, appended when it ends and never changed. */
export const attempts = mysqlTable(
  'attempts',
  {
    id: bigint(number).autoincrement().primaryKey(),
    deliveryId: bigint('delivery_id', number).notNull(),
    /** 1 for the first attempt of its delivery. */
    number: int().notNull(),
    startedAt: utcMoment('started_at').notNull(),
    durationMs: int('duration_ms').notNull(),
    outcome: mysqlEnum(['delivered', 'rejected', 'gone', 'failed', 'forbidden', 'lost']).notNull(),
    responseStatus: smallint('response_status'),
    /** A stable word (`timeout`, `dns`, …) if there was no response. */
    reason: ascii({ length: 32 }),
    /** Why it failed, in words (delivery/explain.ts); null for a success, and in rows from before this column. */
    explanation: text({ length: 400 }),
    /** When the outcome was written: the times in `delivery_log` are copies of it. Null in rows of version f84be48, as are the next two. */
    recordedAt: utcMoment('recorded_at'),
    /** Name and URL that it was sent to, in `receivers`; null also if nothing was sent. */
    receiver: int(),
    /** HMAC over the row (src/db/proof/marks.ts): a row that SQL made has no valid one. */
    mark: attemptMark(),
  },
  (table) => [index('attempts_delivery').on(table.deliveryId)],
);

/** Former and present names and URLs of webhooks: a row for each that a daemon began to send to, never changed. */
export const receivers = mysqlTable(
  'receivers',
  {
    id: int().autoincrement().primaryKey(),
    webhookId: int('webhook_id').notNull(),
    name: text({ length: 255 }).notNull(),
    url: text({ length: 2048 }).notNull(),
    since: utcMoment().notNull(),
  },
  (table) => [index('receivers_webhook').on(table.webhookId)],
);

/** One row, number 1. */
export const checkpoint = mysqlTable('checkpoint', {
  id: tinyint().primaryKey(),
  /** Fencing token of the process that captures: an append under an older token fails. */
  fence: bigint(number).notNull().default(0),
  /** Grows each time a person moves the position: an append that read the old epoch fails. */
  epoch: int().notNull().default(0),
  lineage: text({ length: 255 }),
  flavour: ascii({ length: 16 }),
  serverUuid: ascii('server_uuid', { length: 64 }),
  gtid: longText(),
  file: text({ length: 512 }),
  offset: bigint(number),
  /** When `file` was created, seconds since 1970 UTC: distinguishes it from a file of the same name after a RESET. */
  fileCreatedAt: bigint('file_created_at', number),
  /** Commit time, at the source, of the last transaction before the position. */
  committedAt: utcMoment('committed_at'),
  /** A time that the source's clock had passed before the changes after the position were committed; null if none is known. */
  passedAt: utcMoment('passed_at'),
  updatedAt: utcMoment('updated_at').notNull().default(utcNow),
  nextEventSeq: bigint('next_event_seq', number).notNull().default(1),
  nextDeliveryId: bigint('next_delivery_id', number).notNull().default(1),
  /** Events with a lower staging number are visible: raising it shows a whole staged transaction at once. */
  staging: int().notNull().default(1),
  /** First rows of the staging in progress; null if there is none. */
  stagedFromSeq: bigint('staged_from_seq', number),
  stagedFromDelivery: bigint('staged_from_delivery', number),
  /** Deliveries of the last staging that have no row in `queue` yet: from (inclusive) to (exclusive). */
  unqueuedFrom: bigint('unqueued_from', number),
  unqueuedTo: bigint('unqueued_to', number),
  /** Why capture stopped; null while it runs. */
  halt: json(),
  /** Ids of transactions whose loss a person accepted: they are skipped. */
  waived: json(),
  haltedAt: utcMoment('halted_at'),
  /** Proves that this program wrote the epoch and the position (src/db/proof/marks.ts). Null before the first seal of a new store. */
  mark: attemptMark(),
});

/**
 * The source's tables as the log has shown them up to the checkpoint's position: one row, written when it changes. Separate from the
 * checkpoint, which is written every few seconds: with it, an account that cannot choose MINIMAL row images logged 20 KB each time.
 */
export const knownTables = mysqlTable('known_tables', {
  id: tinyint().primaryKey(),
  /** Watched columns and their kinds as last seen in the log, by table. */
  baseline: json(),
  /** Foreign keys of the watched tables and of their parents, and the triggers in their place, as in force at the position. */
  keysInForce: json('keys_in_force'),
});

/**
 * One row, number 1, written with the checkpoint by the last transaction of the process that stopped capture. It is valid while the
 * checkpoint is at the position in this row.
 */
export const cleanStop = mysqlTable('clean_stop', {
  id: tinyint().primaryKey(),
  epoch: int().notNull(),
  file: text({ length: 512 }).notNull(),
  offset: bigint(number).notNull(),
  /** MariaDB: gtid_binlog_state at the checkpoint. */
  state: longText(),
});

export const leases = mysqlTable('leases', {
  name: ascii({ length: 32 }).primaryKey(),
  holder: ascii({ length: 64 }).notNull(),
  /** Grows with each change of holder. */
  token: bigint(number).notNull(),
  expiresAt: utcMoment('expires_at').notNull(),
});

/** Webhooks that the configuration file of each running daemon defines: rows of daemons that have ended are ignored. */
export const webhookClaims = mysqlTable(
  'webhook_claims',
  {
    /** The process, by its name as a holder in `leases`. */
    owner: ascii({ length: 64 }).notNull(),
    name: text({ length: 255 }).notNull(),
    /** HMAC of the definition (src/db/proof/marks.ts): it holds a secret. */
    digest: ascii({ length: 32 }).notNull(),
    /** Name of the webhook of another daemon because of which this definition is not used. Null while it is used. */
    refusedFor: text('refused_for', { length: 255 }),
  },
  (table) => [mysqlCore.primaryKey({ columns: [table.owner, table.name] })],
);

/** Acts of people, and acts of the engine for a reason that an auditor asks about. */
export const auditLog = mysqlTable(
  'audit_log',
  {
    id: bigint(number).autoincrement().primaryKey(),
    at: utcMoment().notNull().default(utcNow),
    actor: text({ length: 255 }).notNull(),
    role: ascii({ length: 32 }).notNull(),
    action: ascii({ length: 64 }).notNull(),
    target: text({ length: 255 }),
    details: json(),
    /** A nonce and an HMAC over the row (src/db/proof/marks.ts). Null in rows of version f84be48. */
    mark: mark(),
  },
  (table) => [
    index('audit_log_at').on(table.at),
    index('audit_log_action').on(table.action, table.target),
    // Refuses a copy of an act, because its mark is that of the original.
    uniqueIndex('audit_log_mark').on(table.mark),
  ],
);

/**
 * Keys of each patient, and of all events about no patient (subject ''). Erasing a patient deletes them. Every writer holds the lock of the
 * checkpoint's row and moves its counters (src/outbox/payload/subject-keys.ts says why).
 */
export const subjectKeys = mysqlTable(
  'subject_keys',
  {
    id: int().autoincrement().primaryKey(),
    subject: rowKey({ length: 255 }).notNull(),
    /** Salts the hashes of payloads in the sealed log. 32 bytes in base64, in clear text or encrypted by db/encryption. */
    key: text({ length: 255 }).notNull(),
    /** Encrypts the payloads, if encryption at rest is configured: never in clear text. */
    payloadKey: text('payload_key', { length: 255 }),
    createdAt: utcMoment('created_at').notNull().default(utcNow),
  },
  (table) => [uniqueIndex('subject_keys_subject').on(table.subject)],
);

/**
 * Keys of key files that erasures gave up permanently: a key that a crash left behind, or that an old copy of the file brought back, is
 * destroyed again (src/outbox/payload/destroy-keys.ts).
 */
export const destroyedKeys = mysqlTable(
  'destroyed_keys',
  {
    keyFile: ascii('key_file', { length: 16 }).notNull(),
    slot: ascii({ length: 16 }).notNull(),
  },
  (table) => [mysqlCore.primaryKey({ columns: [table.keyFile, table.slot] })],
);

/*
 * The sealed log: every row of `event_log`, `delivery_log`, `attempts` and `audit_log` becomes a leaf, the leaves of an interval a
 * Merkle tree, and the roots of the trees a signed chain. src/audit/seal/seal.ts describes it.
 */

/** One row: the key of the installation and the beginning of the chain. */
export const sealState = mysqlTable('seal_state', {
  id: tinyint().primaryKey(),
  /** SPKI in base64. */
  publicKey: ascii('public_key', { length: 128 }).notNull(),
  /** PKCS #8 in base64, in clear text or encrypted by db/encryption. */
  privateKey: ascii('private_key', { length: 512 }).notNull(),
  /** How far version f84be48 had sealed. Later versions store it in each seal, where it is signed. */
  progress: json().notNull(),
  /** The last seal that retention dropped; 0 if none was dropped. */
  anchorNumber: bigint('anchor_number', number).notNull().default(0),
  anchorHash: ascii('anchor_hash', { length: 64 }).notNull(),
  /** Ed25519 over number and hash, in base64. */
  anchorSignature: ascii('anchor_signature', { length: 128 }).notNull(),
  /** Content of that seal, which hashes to `anchor_hash`: when it was made and how far it went. Null before the first drop. */
  anchor: json(),
});

export const seals = mysqlTable('seals', {
  number: bigint(number).primaryKey(),
  /** 1: leaves in `seal_leaves`, as version f84be48 wrote them. 2: leaves in `seal_packs`. */
  version: tinyint().notNull().default(1),
  sealedAt: utcMoment('sealed_at').notNull(),
  /** Number of its leaves. */
  entries: int().notNull(),
  /** Merkle root of the leaves. */
  root: ascii({ length: 64 }).notNull(),
  previousHash: ascii('previous_hash', { length: 64 }).notNull(),
  hash: ascii({ length: 64 }).notNull(),
  /** Ed25519 over `hash`, in base64. */
  signature: ascii({ length: 128 }).notNull(),
  /** Version 2: how far each log is sealed up to this seal; a part of the hashed content. */
  progress: json(),
});

/** Leaves of version 2, in order, some hundreds to a row (src/audit/seal/pack.ts). */
export const sealPacks = mysqlTable(
  'seal_packs',
  {
    seal: bigint(number).notNull(),
    place: int().notNull(),
    log: mysqlEnum(['event_log', 'delivery_log', 'attempts', 'audit_log']).notNull(),
    leaves: mediumBlob().notNull(),
  },
  (table) => [mysqlCore.primaryKey({ columns: [table.seal, table.place] })],
);

/** Leaves of version 1: they are read, and dropped by retention; new ones go into `seal_packs`. */
export const sealLeaves = mysqlTable(
  'seal_leaves',
  {
    seal: bigint(number).notNull(),
    place: int().notNull(),
    log: mysqlEnum(['attempts', 'audit_log']).notNull(),
    entryId: bigint('entry_id', number).notNull(),
    hash: digest().notNull(),
    /** Hash of the payload that an attempt sent, salted with its subject's key; null if the payload was gone already. */
    payloadHash: digest('payload_hash'),
  },
  (table) => [
    mysqlCore.primaryKey({ columns: [table.seal, table.place] }),
    uniqueIndex('seal_leaves_entry').on(table.log, table.entryId),
  ],
);

/** Replays: past events sent again to one webhook, in steps that continue after a restart. */
export const replays = mysqlTable('replays', {
  id: bigint(number).autoincrement().primaryKey(),
  webhookId: int('webhook_id').notNull(),
  /** Event types or patterns; null for all that the webhook subscribes to. */
  events: json(),
  entityTable: text('entity_table', { length: 64 }),
  entityKey: rowKey('entity_key', { length: 255 }),
  since: utcMoment().notNull(),
  until: utcMoment().notNull(),
  requestedBy: text('requested_by', { length: 255 }).notNull(),
  reason: text({ length: 1024 }).notNull(),
  ratePerSecond: double('rate_per_second'),
  /** Whether it sends only exhausted deliveries. */
  exhaustedOnly: boolean('exhausted_only').notNull().default(false),
  /** Whether it sends only events that were never queued. */
  missedOnly: boolean('missed_only').notNull().default(false),
  state: mysqlEnum(['running', 'done', 'cancelled']).notNull().default('running'),
  /** The next event to read. */
  nextSeq: bigint('next_seq', number).notNull(),
  /** The last event to read. */
  lastSeq: bigint('last_seq', number).notNull(),
  /** Events to send, counted when the replay was created. */
  total: int().notNull(),
  queued: int().notNull().default(0),
  createdAt: utcMoment('created_at').notNull().default(utcNow),
  finishedAt: utcMoment('finished_at'),
});
