import { randomBytes } from 'node:crypto';
import type { Session } from '../db/connection/client.ts';
import { AppError } from '../lib/errors.ts';

/*
 * Views that an auditor reads by SQL, with a database user that has no other rights. The views have plain names and contain neither
 * payloads, nor response bodies, nor secrets, nor header values; they run with the rights of the user who created them.
 * `webhook_deliveries` is the application's own name for its log, with its payloads.
 */

/** Columns of the table `webhooks` that an auditor may read, so that `webhook_deliveries` can be joined with it. */
const webhookColumns = ['id', 'name', 'url', 'events', 'is_active', 'created_at', 'updated_at'];

/** Columns of `webhook_deliveries` that contain patient data. */
const payloadColumns = ['payload', 'response_body'];

const isVisible = 'e.staging < (SELECT c.staging FROM checkpoint c WHERE c.id = 1)';

/** The SELECT of each auditor view, by view name. */
export const auditorViews: Readonly<Record<string, string>> = {
  audit_webhooks: `SELECT id, name, url, events, is_active, managed_by, fields, JSON_KEYS(filter) AS filtered_by,
      JSON_KEYS(headers) AS header_names, created_at, updated_at, deleted_at, failing_since, disabled_at, disabled_reason,
      previous_secret_expires_at AS rotation_ends_at FROM webhooks`,
  audit_deliveries: `SELECT d.id, d.webhook_id, COALESCE(r.name, w.name) AS webhook,
      IF(l.id IS NULL, w.url, r.url) AS url, e.id AS event_id, e.type AS event_type, e.entity_table,
      e.entity_key, e.subject AS patient, e.occurred_at, COALESCE(q.state, IF(d.status = 'open', 'pending', d.status)) AS status,
      d.response_status, l.explanation, d.retry_count, d.created_at, d.delivered_at, d.failed_at
    FROM delivery_log d JOIN event_log e ON e.seq = d.event_seq LEFT JOIN queue q ON q.delivery_id = d.id
    LEFT JOIN webhooks w ON w.id = d.webhook_id
    LEFT JOIN attempts l ON l.id = (SELECT MAX(a.id) FROM attempts a WHERE a.delivery_id = d.id)
    LEFT JOIN receivers r ON r.id = l.receiver WHERE ${isVisible}`,
  audit_attempts: `SELECT a.id, a.delivery_id, a.number, a.started_at, a.duration_ms, a.outcome, a.response_status, a.reason,
      a.explanation, r.name AS webhook, r.url, a.recorded_at
    FROM attempts a LEFT JOIN receivers r ON r.id = a.receiver`,
  audit_acts: 'SELECT id, at, actor, role, action, target, details FROM audit_log',
  audit_replays: `SELECT id, webhook_id, events, entity_table, entity_key, since, until, exhausted_only, requested_by, reason,
      state, total, queued, created_at, finished_at FROM replays`,
  audit_seals:
    'SELECT number, version, sealed_at, entries, root, previous_hash, hash, signature, progress FROM seals',
};

export interface AuditorOptions {
  /** `luz`, or `luz@10.0.0.%` */
  account: string;
  /** Omits the columns with payloads and response bodies from the grant on `webhook_deliveries`. */
  withoutPayloads: boolean;
}

export interface Auditor {
  views: string[];
  /** Statements that an administrator of the database runs. */
  statements: string[];
}

/**
 * Creates or replaces the views, and returns the statements that create a user who can read only the views, `webhook_deliveries` and the
 * columns of `webhooks` above. Throws AppError ERR_USAGE.
 */
export async function prepareAuditor(
  store: Session & { database: string },
  { account, withoutPayloads }: AuditorOptions,
): Promise<Auditor> {
  const who = toAccount(account);
  for (const [name, query] of Object.entries(auditorViews)) {
    await store.run(`CREATE OR REPLACE SQL SECURITY DEFINER VIEW ${name} AS ${query}`);
  }
  const schema = `\`${store.database.replaceAll('`', '``')}\``;
  const payloads = withoutPayloads ? ` (${await columnsWithout(store, payloadColumns)})` : '';
  const password = `${randomBytes(18).toString('base64url')}-aA1`;
  return {
    views: Object.keys(auditorViews),
    statements: [
      `CREATE USER ${who} IDENTIFIED BY '${password}';`,
      `GRANT SELECT${payloads} ON ${schema}.webhook_deliveries TO ${who};`,
      `GRANT SELECT (${webhookColumns.join(', ')}) ON ${schema}.webhooks TO ${who};`,
      ...Object.keys(auditorViews).map((name) => `GRANT SELECT ON ${schema}.${name} TO ${who};`),
    ],
  };
}

async function columnsWithout(
  store: Session & { database: string },
  names: readonly string[],
): Promise<string> {
  const rows = await store.rows<{ name: string }>(
    `SELECT column_name AS name FROM information_schema.columns
     WHERE table_schema = ? AND table_name = 'webhook_deliveries' ORDER BY ordinal_position`,
    [store.database],
  );
  return rows
    .map(({ name }) => name)
    .filter((name) => !names.includes(name))
    .join(', ');
}

function toAccount(account: string): string {
  const [, user, host = '%'] = /^([\w.-]{1,32})(?:@([\w.:%/-]{1,255}))?$/.exec(account) ?? [];
  if (user === undefined) {
    throw new AppError('ERR_USAGE', 'the name of the auditor cannot be that of a database user', {
      remedy:
        'Write letters, digits, dots and dashes, 32 at most, and a host where there is one: luz, luz@10.0.0.%.',
    });
  }
  return `'${user}'@'${host}'`;
}
