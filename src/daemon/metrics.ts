import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** The metrics, named by Prometheus' conventions. Labels are names of webhooks and event types, never data. */
export interface Metrics {
  readonly registry: Registry;
  transactions: Counter;
  changes: Counter;
  events: Counter;
  erasedEvents: Counter;
  estimatedTimes: Counter;
  lookups: Counter<'table'>;
  unloggedCascades: Counter<'table'>;
  retries: Counter<'reason'>;
  reconnects: Counter;
  decoderCells: Counter;
  decoderDifferences: Counter;
  readLate: Counter<'table'>;
  preflight: Gauge<'level'>;
  halted: Gauge;
  capturing: Gauge;
  leaseBlocked: Gauge;
  lagSeconds: Gauge;
  canaryAgeSeconds: Gauge;
  runwaySeconds: Gauge;
  behindBytes: Gauge;
  forgedDeliveries: Counter;
  attempts: Counter<'webhook' | 'outcome'>;
  deliverySeconds: Histogram<'webhook'>;
  commitToReceivedSeconds: Histogram;
  queue: Gauge<'webhook'>;
  disabled: Gauge<'webhook'>;
  problems: Gauge<'webhook'>;
  paused: Gauge<'webhook'>;
  inFlight: Gauge;
  processes: Gauge;
  unsealedAgeSeconds: Gauge;
  sealingStopped: Gauge;
  auditBroken: Gauge;
  schemaDifferences: Gauge;
}

const prefix = 'odontology_webhooks_';
const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix });
  // Gauges whose names look like counters.
  for (const what of ['handles', 'requests', 'resources'])
    registry.removeSingleMetric(`${prefix}nodejs_active_${what}_total`);
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []): Counter<L> =>
    new Counter({ name: `${prefix}${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: L[] = []): Gauge<L> =>
    new Gauge({ name: `${prefix}${name}`, help, labelNames, registers });
  return {
    registry,
    transactions: counter('transactions_total', 'Transactions with a watched row that were captured.'),
    changes: counter('changes_total', 'Net row changes of watched tables.'),
    events: counter('events_total', 'Events appended to the outbox.'),
    erasedEvents: counter(
      'erased_events_total',
      'Events from before an erasure of their patient: recorded without payload, not sent.',
    ),
    estimatedTimes: counter(
      'estimated_commit_times_total',
      'Transactions with events whose logged time could not be their commit time (SET timestamp on MariaDB, a slow statement).',
    ),
    lookups: counter('lookups_total', 'Questions to the source that a rule needed.', ['table']),
    unloggedCascades: counter(
      'unlogged_cascades_total',
      'Transactions that deleted or re-keyed rows of a parent table while its cascade into watched tables was not logged.',
      ['table'],
    ),
    retries: counter(
      'store_retries_total',
      'Transactions in the store that were tried again because they lost a lock to another one.',
      ['reason'],
    ),
    reconnects: counter('source_reconnects_total', 'Readers opened after the first.'),
    decoderCells: counter('decoder_cells_compared_total', 'Values that our decoder and zongji read alike.'),
    decoderDifferences: counter(
      'decoder_differences_total',
      'Columns that our decoder and zongji read differently.',
    ),
    readLate: counter(
      'read_late_total',
      'Rows of which the log lacked values that a rule needs, read from their table later than the change.',
      ['table'],
    ),
    preflight: gauge('preflight_checks', 'Checks of the last preflight by level.', ['level']),
    halted: gauge('halted', '1 while capture is halted.'),
    capturing: gauge('capturing', '1 in the process that captures, 0 in a standby.'),
    leaseBlocked: gauge(
      'lease_blocked',
      '1 in a standby while the holder of the lease to capture does not capture.',
    ),
    lagSeconds: gauge(
      'lag_seconds',
      'How far capture is behind the end of the log; 0 when all of it is read.',
    ),
    canaryAgeSeconds: gauge(
      'canary_age_seconds',
      'Since the last canary that came back through the log was sent; NaN in a standby.',
    ),
    runwaySeconds: gauge(
      'runway_seconds',
      'Until the log at the checkpoint may be purged; +Inf when the server keeps it for ever, NaN while unknown.',
    ),
    behindBytes: gauge('behind_bytes', 'Bytes of log behind the checkpoint, looked at once a minute.'),
    attempts: counter('attempts_total', 'Attempts by outcome.', ['webhook', 'outcome']),
    deliverySeconds: new Histogram({
      name: `${prefix}attempt_seconds`,
      help: 'Duration of an attempt.',
      labelNames: ['webhook'],
      buckets: seconds,
      registers,
    }),
    commitToReceivedSeconds: new Histogram({
      name: `${prefix}commit_to_received_seconds`,
      help: 'From the commit at the source to the 2xx of the first attempt.',
      buckets: seconds,
      registers,
    }),
    queue: gauge('queue', 'Deliveries that are not at their end; left out while the store does not answer.', [
      'webhook',
    ]),
    disabled: gauge(
      'webhook_disabled',
      '1 while the engine has disabled the webhook: 410, or failing for too long.',
      ['webhook'],
    ),
    paused: gauge('webhook_paused', '1 while a person has it wait: its events are queued.', ['webhook']),
    problems: gauge(
      'webhook_problems',
      'What is wrong with the row of a webhook: a column that cannot be used, an event that there is not, a refused address.',
      ['webhook'],
    ),
    processes: gauge('processes', 'Daemons on this store, which share the limits of each webhook.'),
    inFlight: gauge('in_flight', 'Requests under way.'),
    ...auditMetrics(counter, gauge),
  };
}

/** Changes in the store by SQL, and how far the log of attempts and acts is sealed. */
function auditMetrics(
  counter: (name: string, help: string) => Counter,
  gauge: (name: string, help: string) => Gauge,
): Pick<
  Metrics,
  'forgedDeliveries' | 'unsealedAgeSeconds' | 'sealingStopped' | 'auditBroken' | 'schemaDifferences'
> {
  return {
    forgedDeliveries: counter(
      'forged_deliveries_total',
      'Deliveries that were not sent, because SQL had added or edited them or their payloads.',
    ),
    unsealedAgeSeconds: gauge(
      'audit_unsealed_age_seconds',
      'Age of the oldest entry that is not sealed yet; 0 when all are.',
    ),
    sealingStopped: gauge('audit_stopped', '1 while the log is not sealed any more.'),
    schemaDifferences: gauge(
      'store_schema_differences',
      'Tables, columns, indexes and views of the store that are not as this version makes them.',
    ),
    auditBroken: gauge(
      'audit_broken',
      '1 while nothing is sealed or dropped, because the sealed log was changed (ERR_AUDIT).',
    ),
  };
}
