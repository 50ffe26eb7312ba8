import { parseStoredFilter } from '../../config/setting/filter.ts';
import { maximumEvents } from '../../config/setting/schema.ts';
import { fromSettingColumns } from '../../config/setting/webhook-settings.ts';
import { parseWebhookInput } from '../../config/setting/webhook-input.ts';
import { messageOf } from '../../lib/errors.ts';
import { isTooLarge } from '../../db/schema/webhook-columns.ts';
import type { Webhook } from '../types.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';

/** The readable contents of a row. */
export interface WebhookShape {
  shape: Omit<Webhook, 'secrets' | 'isActive'>;
  /** Why nothing can be sent: sentences that begin with the column's name and quote no value. */
  problems: string[];
  /** Whether its events and fields are readable. */
  chooses: boolean;
}

const examples = {
  events: '["payment.received","appointment.*"]',
  fields: '["payment_id","amount"]',
  headers: '{"X-Clinic":"central"}',
  filter: '{"branch_id":[1,2]}',
} as const;

/** Columns that are required to decide what to queue. */
const choosing: ReadonlySet<string> = new Set(['events', 'filter', 'fields']);

/** The limits of the configuration file's keys. */
const bounds = {
  max_in_flight: [1, 1_000],
  timeout_ms: [100, 300_000],
} as const;

/**
 * Reads a row that may have been edited by SQL, column by column. Never throws: an unusable column is a problem, and a harmless value replaces it for
 * display.
 */
export function readShape(row: WebhookRow): WebhookShape {
  const problems: string[] = [];
  let chooses = true;
  function add(column: string, problem: string): void {
    const isChoice = choosing.has(column);
    if (isChoice) chooses = false;
    problems.push(`${column} ${problem}${isChoice ? '; until then its events are not queued' : ''}`);
  }
  const json = <T>(column: keyof typeof examples, fallback: T, read: (value: unknown) => T): T => {
    if (isTooLarge(row[column])) {
      add(column, "is too large for max_allowed_packet of the store's server: write a shorter one");
      return fallback;
    }
    try {
      return read(row[column]);
    } catch (error) {
      const problem = error instanceof Unreadable ? '' : `: ${messageOf(error)}`;
      add(column, `cannot be read${problem}: write it as ${examples[column]}`);
      return fallback;
    }
  };
  const url = urlProblem(row.url);
  if (url !== undefined) add('url', url);
  for (const [column, value] of [
    ['max_in_flight', row.maxInFlight],
    ['timeout_ms', row.timeoutMs],
  ] as const) {
    const [least, most] = bounds[column];
    if (!(value >= least && value <= most)) add(column, `must be a number from ${least} to ${most}`);
  }
  const rate = row.ratePerSecond;
  if (rate !== null && !(rate > 0 && Number.isFinite(rate)))
    add('rate_per_second', 'must be above 0, or NULL for no limit');
  const shape = {
    ...fromSettingColumns(row),
    id: row.id,
    name: row.name,
    url: row.url,
    events: json('events', [], readEvents),
    managedBy: row.managedBy,
    filter: json('filter', null, (value) => (value === null ? null : parseStoredFilter(value))),
    fields: json('fields', null, (value) => (value === null ? null : readTexts(value))),
    headers: json('headers', {}, (value) => (value === null ? {} : readTextMap(value))),
  };
  return { shape, problems, chooses };
}

class Unreadable extends Error {}

/** The problems of a URL's form, by the rules of the configuration file; its target is checked at each attempt. */
export function urlProblem(url: string): string | undefined {
  try {
    parseWebhookInput({ url });
    return undefined;
  } catch (error) {
    return messageOf(error).replace(/^url: /, '');
  }
}

function readEvents(value: unknown): string[] {
  const events = readTexts(value);
  if (events.length > maximumEvents)
    throw new Error(`it has ${events.length} entries, at most ${maximumEvents} are allowed`);
  return events;
}

function readTexts(value: unknown): string[] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string'))
    return value;
  throw new Unreadable();
}

function readTextMap(value: unknown): Record<string, string> {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isMap && Object.values(value).every((item) => typeof item === 'string'))
    return value as Record<string, string>;
  throw new Unreadable();
}
