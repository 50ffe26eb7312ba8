import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditorViews, prepareAuditor } from '../../src/audit/auditor.ts';
import { readViewQueries } from '../../src/db/schema/definitions.ts';
import {
  accessAnswer,
  actAnswer,
  deliveryAnswer,
  deliveryDetailAnswer,
  replayAnswer,
  webhookAnswer,
} from '../../src/http/answers.ts';
import { openTestStore, type TestStore } from '../outbox/support.ts';
import { flavours } from '../support/server.ts';
import { verdicts } from './column-verdicts.ts';

/** Fields of what is shown, each with the columns that it is made of. */
type Shown = Readonly<Record<string, readonly string[]>>;

const columnsOf = (table: string, names: readonly string[]): Shown =>
  Object.fromEntries(names.map((name) => [name, [`${table}.${name}`]]));
const status: Shown = { status: ['delivery_log.status', 'queue.state'] };
const receiver = [
  ...['receivers.name', 'receivers.url', 'attempts.receiver', 'attempts.delivery_id'],
  ...['webhooks.name', 'webhooks.url'],
];

const views: Readonly<Record<string, Shown>> = {
  events: {
    ...columnsOf('event_log', [
      'seq',
      'id',
      'type',
      'entity_table',
      'entity_key',
      'transaction_id',
      'occurred_at',
    ]),
    ...columnsOf('event_log', ['created_at', 'read_late']),
    payload: ['event_log.body'],
  },
  webhook_deliveries: {
    ...columnsOf('delivery_log', ['id', 'webhook_id', 'event_seq', 'response_status', 'response_body']),
    ...columnsOf('delivery_log', ['delivered_at', 'failed_at', 'exhausted_at', 'retry_count', 'created_at']),
    ...columnsOf('event_log', ['entity_table', 'entity_key', 'occurred_at']),
    ...columnsOf('queue', ['claimed_by']),
    ...status,
    event_type: ['event_log.type'],
    event_id: ['event_log.id'],
    payload: ['delivery_log.payload', 'event_log.body'],
    next_attempt_at: ['queue.due_at'],
    claim_expires_at: ['queue.due_at'],
  },
  audit_webhooks: {
    ...columnsOf('webhooks', [
      'id',
      'name',
      'url',
      'events',
      'is_active',
      'managed_by',
      'fields',
      'created_at',
    ]),
    ...columnsOf('webhooks', ['updated_at', 'deleted_at', 'failing_since', 'disabled_at', 'disabled_reason']),
    filtered_by: ['webhooks.filter'],
    header_names: ['webhooks.headers'],
    rotation_ends_at: ['webhooks.previous_secret_expires_at'],
  },
  audit_deliveries: {
    ...columnsOf('delivery_log', [
      'id',
      'webhook_id',
      'response_status',
      'retry_count',
      'created_at',
      'delivered_at',
    ]),
    ...columnsOf('delivery_log', ['failed_at']),
    ...columnsOf('event_log', ['entity_table', 'entity_key', 'occurred_at']),
    ...status,
    webhook: receiver,
    url: receiver,
    event_id: ['event_log.id'],
    event_type: ['event_log.type'],
    patient: ['event_log.subject'],
    explanation: ['attempts.explanation'],
  },
  audit_attempts: {
    ...columnsOf('attempts', ['id', 'delivery_id', 'number', 'started_at', 'duration_ms', 'outcome']),
    ...columnsOf('attempts', ['response_status', 'reason', 'recorded_at']),
    explanation: ['attempts.explanation'],
    webhook: ['attempts.receiver', 'receivers.name'],
    url: ['attempts.receiver', 'receivers.url'],
  },
  audit_acts: columnsOf('audit_log', ['id', 'at', 'actor', 'role', 'action', 'target', 'details']),
  audit_replays: columnsOf('replays', [
    ...['id', 'webhook_id', 'events', 'entity_table', 'entity_key', 'since', 'until', 'exhausted_only'],
    ...['requested_by', 'reason', 'state', 'total', 'queued', 'created_at', 'finished_at'],
  ]),
  audit_seals: columnsOf('seals', [
    ...[
      'number',
      'version',
      'sealed_at',
      'entries',
      'root',
      'previous_hash',
      'hash',
      'signature',
      'progress',
    ],
  ]),
};

const delivery: Shown = {
  ...columnsOf('delivery_log', [
    'id',
    'webhook_id',
    'response_status',
    'retry_count',
    'created_at',
    'delivered_at',
  ]),
  ...columnsOf('delivery_log', ['failed_at']),
  ...columnsOf('event_log', ['occurred_at']),
  ...status,
  webhook_name: receiver,
  webhook_url: receiver,
  event_id: ['event_log.id'],
  event_type: ['event_log.type'],
  entity: ['event_log.entity_table', 'event_log.entity_key'],
  patient: ['event_log.subject'],
  next_attempt_at: ['queue.due_at'],
  explanation: ['attempts.explanation'],
};

/** The API, and the lists and exports of the command line, which print the same records. */
const answers: Readonly<Record<string, [answer: object, shown: Shown]>> = {
  'deliveries list, export': [deliveryAnswer, delivery],
  'deliveries show': [
    deliveryDetailAnswer,
    {
      ...delivery,
      ...columnsOf('event_log', ['transaction_id']),
      ...columnsOf('delivery_log', ['response_body']),
      payload: ['delivery_log.payload', 'event_log.body'],
      attempts: [
        ...[
          'number',
          'started_at',
          'duration_ms',
          'outcome',
          'response_status',
          'reason',
          'receiver',
          'explanation',
        ].map((name) => `attempts.${name}`),
        ...['receivers.name', 'receivers.url'],
      ],
    },
  ],
  access: [
    accessAnswer,
    { ...delivery, fields: ['delivery_log.payload', 'event_log.body'], receivers: receiver },
  ],
  'audit log': [actAnswer, views['audit_acts']!],
  'replay list': [
    replayAnswer,
    {
      ...columnsOf('replays', [
        'id',
        'webhook_id',
        'events',
        'exhausted_only',
        'missed_only',
        'requested_by',
      ]),
      ...columnsOf('replays', [
        'reason',
        'rate_per_second',
        'state',
        'total',
        'queued',
        'created_at',
        'finished_at',
      ]),
      entity: ['replays.entity_table', 'replays.entity_key'],
      since_ms: ['replays.since'],
      until_ms: ['replays.until'],
    },
  ],
  'webhooks list': [
    webhookAnswer,
    {
      ...columnsOf('webhooks', [
        'id',
        'name',
        'url',
        'events',
        'is_active',
        'managed_by',
        'filter',
        'fields',
      ]),
      ...columnsOf('webhooks', [
        'headers',
        'max_in_flight',
        'legacy_signature',
        'client_certificate',
        'created_at',
      ]),
      ...columnsOf('webhooks', [
        'updated_at',
        'failing_since',
        'paused_at',
        'disabled_at',
        'disabled_reason',
      ]),
      standing: ['webhooks.is_active', 'webhooks.paused_at', 'webhooks.disabled_reason'],
      order: ['webhooks.delivery_order'],
      rate_limit: ['webhooks.rate_per_second'],
      timeout: ['webhooks.timeout_ms'],
      rotation_ends_at: ['webhooks.previous_secret_expires_at'],
      problems: ['webhooks.url', 'webhooks.events', 'webhooks.secret', 'webhooks.headers', 'webhooks.filter'],
    },
  ],
};

/** What is shown and cannot be proved, as the README's table of attackers says. */
const unproved: Readonly<Record<string, string>> = {
  'queue.claimed_by': 'which process sends now: its next write of the row replaces it',
  'replays.queued': 'how far a replay has come while it runs; its end is an act that has the count',
  'replays.finished_at':
    'set by the end of a replay, which is an act; of a running one verify names it (test/audit/attacks)',
};

describe.each(flavours)('what views show, on %s', (flavour) => {
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    await prepareAuditor(test.store, { account: 'luz', withoutPayloads: false });
  });
  afterAll(() => test.close());

  it('are columns that are known here, of all views of the store', async () => {
    const rows = await test.store.rows<{ view: string; field: string }>(
      `SELECT c.TABLE_NAME AS view, c.COLUMN_NAME AS field FROM information_schema.COLUMNS c
       JOIN information_schema.VIEWS v ON v.TABLE_SCHEMA = c.TABLE_SCHEMA AND v.TABLE_NAME = c.TABLE_NAME
       WHERE c.TABLE_SCHEMA = ?`,
      [test.store.database],
    );
    const found = Object.fromEntries(
      Map.groupBy(rows, ({ view }) => view)
        .entries()
        .map(([view, columns]) => [view, columns.map(({ field }) => field).toSorted()]),
    );
    expect(found).toEqual(
      Object.fromEntries(Object.entries(views).map(([view, shown]) => [view, Object.keys(shown).toSorted()])),
    );
    expect(Object.keys(views).toSorted()).toEqual(
      [...readViewQueries().keys(), ...Object.keys(auditorViews)].toSorted(),
    );
  });
});

describe('what lists, exports and the API show', () => {
  it.each(Object.entries(answers))('is known here, of %s', (_name, [answer, shown]) => {
    expect(Object.keys((answer as { properties: object }).properties).toSorted()).toEqual(
      Object.keys(shown).toSorted(),
    );
  });

  const shown = [...Object.values(views), ...Object.values(answers).map(([, fields]) => fields)];
  const columns = [...new Set(shown.flatMap((fields) => Object.values(fields).flat()))].toSorted();

  it.each(columns)('is proved by verify or on the list of what is not: %s', (column) => {
    const [table = '', name = ''] = column.split('.');
    const verdict = verdicts[table]?.[name];
    expect(verdict, column).toBeDefined();
    // With an edit that verify names (test/audit/tampering), or with the reason why not.
    expect(verdict!.length === 2, column).toBe(!(column in unproved));
  });

  it('lists nothing as unproved that is not shown', () => {
    expect(Object.keys(unproved).filter((column) => !columns.includes(column))).toEqual([]);
  });
});
