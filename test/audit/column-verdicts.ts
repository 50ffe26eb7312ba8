import type { Flaw } from '../../src/audit/verify/flaw.ts';

/** What of a flaw must be named. */
export type Found = Partial<Pick<Flaw, 'kind' | 'log' | 'entryId' | 'delivery' | 'fields'>>;
export type Verdict = [sql: string, found: Found] | [because: string];

const attempt = (column: string, value: string, id = 1): Verdict => [
  `UPDATE attempts SET ${column} = ${value} WHERE id = ${id}`,
  { kind: 'edited', delivery: id, fields: [column] },
];
/** What the event says is in the leaf of its attempts. */
const event = (column: string, value: string, named: string): Verdict => [
  `UPDATE event_log SET ${column} = ${value} WHERE seq = 1`,
  { kind: 'edited', delivery: 1, fields: [named] },
];
const outcome = (column: string, value: string, id: number, fields = [column]): Verdict => [
  `UPDATE delivery_log SET ${column} = ${value} WHERE id = ${id}`,
  { delivery: id, fields },
];
const webhook = (column: string, value: string, fields = [column]): Verdict => [
  `UPDATE webhooks SET updated_at = updated_at, ${column} = ${value}`,
  { kind: 'unexplained', fields },
];
const replay = (column: string, value: string, fields = [column]): Verdict => [
  `UPDATE replays SET \`${column}\` = ${value}`,
  { kind: 'unexplained', fields },
];
const act = (column: string, value: string): Verdict => [
  `UPDATE audit_log SET ${column} = ${value} WHERE action = 'delivery.read'`,
  { kind: 'edited', log: 'audit_log', fields: [column] },
];
const position = (column: string, value: string): Verdict => [
  `UPDATE checkpoint SET ${column} = ${value}`,
  { kind: 'edited', fields: ['position'] },
];
const queued = (field: string): Partial<Flaw> => ({ kind: 'edited', delivery: 4, fields: [field] });
const engine =
  'working state of the engine: it decides when a process sends or reads, and no list states it as a fact about the past';
const chosenByLost =
  'not proved, as README says: name and URL of an attempt `lost` are chosen by it, of other attempts they are in the leaf';
const announcesExhausted =
  'not proved, as README says: without its row there is no event `delivery.exhausted`; that the delivery is exhausted is proved from its attempts';
const later = 'now() + interval 1 day';

/** Of every column of every table: an edit and what `verify` must name, or why an edit changes nothing that is shown as a fact. */
export const verdicts: Readonly<Record<string, Readonly<Record<string, Verdict>>>> = {
  installation: {
    id: ['one row; without it the daemon does not start'],
    uuid: ['identity to the source, shown in no list of what was sent'],
    server_id: ['identity to the source'],
    payloads_pruned_to: [
      'UPDATE installation SET payloads_pruned_to = 3',
      { kind: 'unexplained', fields: ['payloads_pruned_to'] },
    ],
    payloads_sealed_to: ['cursor of the encryption: what may be in clear text is an act'],
    key_file: ['a wrong one stops the daemon (ERR_SECRET_KEY)'],
    created_at: ['shown nowhere'],
    decoder_check: [
      'not proved, as README says: it decides which columns are compared with zongji again and which differences halt capture; what is sent is read by our decoder either way',
    ],
  },
  webhooks: {
    id: ['UPDATE webhooks SET updated_at = updated_at, id = 9', { kind: 'unexplained' }],
    name: webhook('name', "'Cobros'"),
    url: webhook('url', "'https://evil.example/'", ['url']),
    events: webhook('events', `'["*","audit.sealed"]'`),
    secret: webhook('secret', `'whsec_${'0'.repeat(64)}'`),
    is_active: webhook('is_active', 'FALSE'),
    created_at: webhook('created_at', "'2020-01-01'"),
    updated_at: [
      "UPDATE webhooks SET updated_at = '2020-01-01'",
      { kind: 'unexplained', fields: ['updated_at'] },
    ],
    managed_by: webhook('managed_by', "'file'"),
    previous_secret: webhook('previous_secret', "'whsec_x'", ['secret']),
    previous_secret_expires_at: webhook('previous_secret_expires_at', later, ['rotation_ends_at']),
    filter: webhook('filter', `'{"branch_id":[1]}'`, ['filtered_by', 'filter']),
    fields: webhook('fields', `'["note"]'`),
    headers: webhook('headers', `'{"X-Clinic":"north"}'`),
    delivery_order: webhook('delivery_order', "'none'", ['order']),
    max_in_flight: webhook('max_in_flight', '1'),
    rate_per_second: webhook('rate_per_second', '1'),
    timeout_ms: webhook('timeout_ms', '1'),
    legacy_signature: webhook('legacy_signature', 'FALSE'),
    failing_since: [
      "UPDATE webhooks SET updated_at = updated_at, failing_since = '2020-01-01'",
      { kind: 'edited', fields: ['failing_since'] },
    ],
    client_certificate: webhook('client_certificate', "'bank'"),
    sealed_url: ['counts only where it opens to the URL that is shown, which is compared'],
    paused_at: webhook('paused_at', "'2020-01-01'"),
    missed_from: webhook('missed_from', '1'),
    missed_to: webhook('missed_to', '9'),
    disabled_at: webhook('disabled_at', "'2020-01-01'"),
    disabled_reason: webhook('disabled_reason', "'gone'"),
    deleted_at: webhook('deleted_at', "'2020-01-01'"),
  },
  event_log: {
    seq: ['UPDATE event_log SET seq = 9 WHERE seq = 1', { kind: 'deleted', delivery: 1 }],
    id: [
      "UPDATE event_log SET id = 'evt_x' WHERE seq = 1",
      { kind: 'edited', delivery: 1, fields: ['event_id'] },
    ],
    type: event('type', "'patient.created'", 'event_type'),
    entity_table: event('entity_table', "'patients'", 'entity_table'),
    entity_key: event('entity_key', "'99'", 'entity_key'),
    subject: event('subject', "'99'", 'subject'),
    transaction_id: event('transaction_id', "'tx-9'", 'transaction_id'),
    occurred_at: event('occurred_at', "'2020-01-01'", 'occurred_at'),
    staging: [
      'UPDATE event_log SET staging = 9 WHERE seq = 1',
      { kind: 'edited', log: 'event_log', entryId: 1, fields: ['staging'] },
    ],
    created_at: [
      "UPDATE event_log SET created_at = '2020-01-01' WHERE seq = 1",
      { kind: 'edited', log: 'event_log', entryId: 1, fields: ['created_at'] },
    ],
    read_late: [
      `UPDATE event_log SET read_late = '["x"]' WHERE seq = 1`,
      { kind: 'edited', log: 'event_log', entryId: 1, fields: ['read_late'] },
    ],
    body: [
      "UPDATE event_log SET body = '{}' WHERE seq = 1",
      { kind: 'edited', log: 'event_log', entryId: 1, fields: ['body'] },
    ],
  },
  delivery_log: {
    id: [
      'UPDATE delivery_log SET id = 99 WHERE id = 4',
      { kind: 'deleted', log: 'delivery_log', entryId: 4 },
    ],
    webhook_id: [
      'UPDATE delivery_log SET webhook_id = 9 WHERE id = 1',
      { kind: 'edited', delivery: 1, fields: ['webhook_id'] },
    ],
    event_seq: [
      'UPDATE delivery_log SET event_seq = 4, webhook_id = 7 WHERE id = 1',
      { kind: 'edited', delivery: 1 },
    ],
    status: outcome('status', "'delivered'", 2),
    response_status: outcome('response_status', '204', 1),
    delivered_at: outcome('delivered_at', 'delivered_at + interval 1 second', 1),
    failed_at: outcome('failed_at', 'failed_at + interval 1 second', 3),
    exhausted_at: outcome('exhausted_at', 'exhausted_at + interval 1 second', 5),
    retry_count: outcome('retry_count', '3', 2),
    created_at: [
      "UPDATE delivery_log SET created_at = '2020-01-01' WHERE id = 1",
      { kind: 'edited', delivery: 1, fields: ['created_at'] },
    ],
    response_body: [
      "UPDATE delivery_log SET response_body = 'accepted' WHERE id = 1",
      { kind: 'edited', delivery: 1, fields: ['response_body'] },
    ],
    reserve: ['blanks, shown nowhere'],
    payload: [
      "UPDATE delivery_log SET payload = '{}' WHERE id = 1",
      { kind: 'edited', delivery: 1, fields: ['payload'] },
    ],
    mark: [
      'UPDATE delivery_log SET mark = REVERSE(mark) WHERE id = 4',
      { kind: 'forged', delivery: 4, fields: ['mark'] },
    ],
  },
  queue: {
    delivery_id: [
      'UPDATE queue SET delivery_id = 1 WHERE delivery_id = 4',
      { kind: 'inserted', delivery: 1 },
    ],
    webhook_id: [`${engine}; an attempt that it leads elsewhere has a mark that does not fit`],
    event_seq: [engine],
    lane: ['UPDATE queue SET lane = 7 WHERE delivery_id = 4', queued('lane')],
    state: ["UPDATE queue SET state = 'waiting' WHERE delivery_id = 4", queued('due_at')],
    due_at: ['UPDATE queue SET due_at = NULL WHERE delivery_id = 4', queued('due_at')],
    attempt: ['UPDATE queue SET attempt = 5 WHERE delivery_id = 4', queued('attempt')],
    attempts_before: ['UPDATE queue SET attempts_before = 1 WHERE delivery_id = 3', { delivery: 3 }],
    claimed_at: [engine],
    claimed_by: [
      'not proved, as README says: which process has a claim; a forged name delays a delivery until its claim expires',
    ],
    waiting: ['made by the server from `state`'],
  },
  kept_payloads: { event_seq: ['retention removes no payload because of it: it proves the age first'] },
  attempts: {
    id: ['UPDATE attempts SET id = 100 WHERE id = 1', { kind: 'deleted', log: 'attempts', entryId: 1 }],
    delivery_id: ['UPDATE attempts SET delivery_id = 4 WHERE id = 1', { kind: 'edited', entryId: 1 }],
    number: attempt('number', '2'),
    started_at: attempt('started_at', "'2020-01-01'"),
    duration_ms: attempt('duration_ms', '1'),
    outcome: attempt('outcome', "'delivered'", 2),
    response_status: attempt('response_status', '204'),
    reason: attempt('reason', "'dns'", 2),
    explanation: [
      "UPDATE attempts SET explanation = 'the certificate has expired' WHERE id = 2",
      { kind: 'edited', log: 'attempts', entryId: 2, fields: ['reason'] },
    ],
    recorded_at: attempt('recorded_at', "'2020-01-01'"),
    receiver: [
      'UPDATE attempts SET receiver = NULL WHERE id = 1',
      { kind: 'edited', delivery: 1, fields: ['receiver', 'receiver_name', 'receiver_url'] },
    ],
    mark: attempt('mark', "X'00000000000000000000000000000000'"),
  },
  exhausted_deliveries: {
    delivery_id: [announcesExhausted],
    attempt: [announcesExhausted],
  },
  receivers: {
    id: [
      'UPDATE receivers SET id = 9',
      { kind: 'edited', delivery: 1, fields: ['receiver_name', 'receiver_url'] },
    ],
    webhook_id: [chosenByLost],
    name: [
      "UPDATE receivers SET name = 'Cobros'",
      { kind: 'edited', delivery: 1, fields: ['receiver_name'] },
    ],
    url: [
      "UPDATE receivers SET url = 'https://other.example/'",
      { kind: 'edited', delivery: 1, fields: ['receiver_url'] },
    ],
    since: [chosenByLost],
  },
  checkpoint: {
    ...Object.fromEntries(
      [
        ...[
          'id',
          'fence',
          'updated_at',
          'staged_from_seq',
          'staged_from_delivery',
          'unqueued_from',
          'unqueued_to',
        ],
        ...['halted_at'],
      ].map((name): [string, Verdict] => [name, [engine]]),
    ),
    halt: [
      'not proved, as README says: `status` shows it; a running daemon halts by what it reads, and writes it anew',
    ],
    epoch: position('epoch', 'epoch + 1'),
    lineage: position('lineage', "'mysql/9'"),
    flavour: position('flavour', "'mariadb'"),
    server_uuid: position('server_uuid', 'NULL'),
    gtid: position('gtid', "'b8b5e0a4-0000-4000-8000-000000000001:1-900'"),
    file: position('file', "'binlog.000009'"),
    offset: position('`offset`', '900'),
    file_created_at: position('file_created_at', '1'),
    committed_at: position('committed_at', "'2020-01-01'"),
    passed_at: position('passed_at', "'2020-01-01'"),
    mark: position('mark', 'NULL'),
    next_event_seq: ['UPDATE checkpoint SET next_event_seq = 2', { kind: 'inserted', log: 'event_log' }],
    next_delivery_id: ['UPDATE checkpoint SET next_delivery_id = 2', { kind: 'inserted', delivery: 2 }],
    staging: ['UPDATE checkpoint SET staging = 0', { kind: 'edited', log: 'event_log', fields: ['staging'] }],
    waived: [`UPDATE checkpoint SET waived = '["tx-1"]'`, { kind: 'unexplained', fields: ['waived'] }],
  },
  clean_stop: Object.fromEntries(
    ['id', 'epoch', 'file', 'offset', 'state'].map((name): [string, Verdict] => [name, [engine]]),
  ),
  webhook_claims: { owner: [engine], name: [engine], digest: [engine], refused_for: [engine] },
  known_tables: { id: [engine], baseline: [engine], keys_in_force: [engine] },
  leases: { name: [engine], holder: [engine], token: [engine], expires_at: [engine] },
  audit_log: {
    id: [
      "UPDATE audit_log SET id = 100 WHERE action = 'delivery.read'",
      { kind: 'deleted', log: 'audit_log' },
    ],
    at: act('at', "'2020-01-01'"),
    actor: act('actor', "'luis'"),
    role: act('role', "'operator'"),
    action: act('action', "'delivery.list'"),
    target: act('target', "'2'"),
    details: act('details', `'{"b":1.5,"a":["n"]}'`),
    mark: act('mark', "X'000000000000000000000000000000000000000000000000'"),
  },
  subject_keys: {
    id: ['shown nowhere'],
    subject: [
      "UPDATE subject_keys SET subject = '99' WHERE subject = '45'",
      { kind: 'edited', log: 'attempts', entryId: 1 },
    ],
    key: [
      "UPDATE subject_keys SET `key` = 'AAAA' WHERE subject = '45'",
      { kind: 'edited', log: 'attempts', entryId: 1 },
    ],
    payload_key: ['payloads do not open any more, which verify calls edited (test/outbox/payloads)'],
    created_at: ['shown nowhere'],
  },
  destroyed_keys: {
    key_file: [
      "INSERT INTO destroyed_keys VALUES ('0011223344556677', '8899aabbccddeeff')",
      { kind: 'unexplained' },
    ],
    slot: [
      "INSERT INTO destroyed_keys VALUES ('0011223344556677', '8899aabbccddeeff')",
      { kind: 'unexplained' },
    ],
  },
  seal_state: {
    id: ['one row'],
    public_key: ['UPDATE seal_state SET public_key = REVERSE(public_key)', { kind: 'forged' }],
    private_key: [
      'UPDATE seal_state SET private_key = CONCAT(private_key, private_key) WHERE FALSE; UPDATE seals SET signature = REVERSE(signature)',
      { kind: 'forged' },
    ],
    progress: ["UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', 99)", { kind: 'truncated' }],
    anchor_number: ['UPDATE seal_state SET anchor_number = 1', { kind: 'forged' }],
    anchor_hash: [
      'UPDATE seal_state SET anchor_hash = (SELECT hash FROM seals WHERE number = 1)',
      { kind: 'forged' },
    ],
    anchor_signature: [
      'UPDATE seal_state SET anchor_signature = REVERSE(anchor_signature)',
      { kind: 'forged' },
    ],
    anchor: [
      `UPDATE seal_state SET anchor = '{"number":1,"version":1,"progress":null,"progressHash":null}'`,
      { kind: 'edited' },
    ],
  },
  seals: {
    number: ['UPDATE seals SET number = 9 WHERE number = 1', { kind: 'deleted' }],
    version: ['UPDATE seals SET version = 1 WHERE number = 1', { kind: 'edited' }],
    sealed_at: ["UPDATE seals SET sealed_at = '2000-01-01' WHERE number = 1", { kind: 'edited' }],
    entries: ['UPDATE seals SET entries = 1 WHERE number = 1', { kind: 'edited' }],
    root: ['UPDATE seals SET root = REVERSE(root) WHERE number = 1', { kind: 'edited' }],
    previous_hash: ["UPDATE seals SET previous_hash = REPEAT('1', 64) WHERE number = 1", { kind: 'edited' }],
    hash: ["UPDATE seals SET hash = REPEAT('1', 64) WHERE number = 1", { kind: 'edited' }],
    signature: ['UPDATE seals SET signature = REVERSE(signature) WHERE number = 1', { kind: 'forged' }],
    progress: [
      "UPDATE seals SET progress = JSON_SET(progress, '$.attempts.to', 1) WHERE number = 1",
      { kind: 'edited' },
    ],
  },
  seal_packs: {
    seal: ['UPDATE seal_packs SET seal = 9 WHERE seal = 1 AND place = 1', { kind: 'deleted' }],
    place: ['UPDATE seal_packs SET place = 99 WHERE seal = 1 AND place = 1', { kind: 'reordered' }],
    // Read as leaves of another log, the bytes end in the middle of one, or are more or fewer.
    log: ["UPDATE seal_packs SET log = 'audit_log' WHERE log = 'delivery_log'", {}],
    leaves: ['UPDATE seal_packs SET leaves = REVERSE(leaves) WHERE seal = 1 AND place = 1', {}],
  },
  seal_leaves: Object.fromEntries(
    ['seal', 'place', 'log', 'entry_id', 'hash', 'payload_hash'].map((name): [string, Verdict] => [
      name,
      ['of version f84be48: test/audit/old-store'],
    ]),
  ),
  replays: {
    id: ['UPDATE replays SET id = 9', { kind: 'unexplained' }],
    webhook_id: replay('webhook_id', '9'),
    events: replay('events', `'["payment.*"]'`),
    entity_table: replay('entity_table', "'patients'"),
    entity_key: replay('entity_key', "'45'"),
    since: replay('since', "'2020-01-01'"),
    until: replay('until', "'2020-01-01'"),
    requested_by: replay('requested_by', "'luis'"),
    reason: replay('reason', "'none'"),
    rate_per_second: replay('rate_per_second', '9'),
    exhausted_only: replay('exhausted_only', 'TRUE'),
    missed_only: replay('missed_only', 'TRUE'),
    state: replay('state', "'done'"),
    next_seq: ['how far it has come, while it runs'],
    last_seq: replay('last_seq', '99'),
    total: replay('total', '99'),
    queued: ['counts while it runs; its end is an act (test/audit/replay-acts)'],
    created_at: replay('created_at', "'2020-01-01'"),
    finished_at: ['set by its end, which is an act (test/audit/replay-acts)'],
  },
};
