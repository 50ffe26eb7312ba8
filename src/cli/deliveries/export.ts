import { Command, Option } from 'commander';
import { countDeliveries, listDeliveries, type DeliveryRecord } from '../../audit/deliveries.ts';
import { recordListing } from '../../audit/act/reading-acts.ts';
import { recordAct } from '../../audit/act/record-act.ts';
import { toJson } from '../../audit/to-json.ts';
import { escapeJson } from '../../lib/terminal-text.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { formatCsv, formatLine } from '../terminal/csv.ts';
import { localActor } from '../argument/local-actor.ts';
import { forTerminal } from '../terminal/styled.ts';
import { createProgress } from '../terminal/progress.ts';
import { withStore, type OpenedStore } from '../argument/with-store.ts';
import { addFilter, filterOf, type FilterOptions } from './filter.ts';

interface ExportOptions extends ConfigOptions, FilterOptions {
  format: 'csv' | 'json';
}

const rowsAtOnce = 500;

/** `odontology-webhooks deliveries export` */
export function deliveriesExportCommand(): Command {
  const command = new Command('export')
    .description('what was sent to whom, without payloads, for a spreadsheet or a program')
    .addOption(configOption())
    .addOption(
      new Option('--format <format>', 'csv, or json: one object a line')
        .choices(['csv', 'json'])
        .default('csv'),
    );
  return addFilter(command)
    .addHelpText(
      'after',
      '\nExample:\n  $ odontology-webhooks deliveries export --since 30d > deliveries.csv',
    )
    .action((options: ExportOptions) => withStore(options, (opened) => exportAll(opened, options)));
}

async function exportAll(vault: OpenedStore, options: ExportOptions): Promise<void> {
  const { store, cipher } = vault;
  const filter = await filterOf(vault, options);
  const total = await countDeliveries(store, filter);
  if (filter.patient ?? filter.entity) await recordListing(vault, localActor(), filter);
  const details = { deliveries: total };
  await recordAct(store, cipher, { actor: localActor(), action: 'delivery.export', details });
  const progress = createProgress('exporting');
  if (options.format === 'csv') await write(formatCsv(columns, []));
  let done = 0;
  for (let cursor: number | null | undefined; cursor !== null;) {
    const page = await listDeliveries(store, filter, { limit: rowsAtOnce, ...(cursor && { cursor }) });
    await write(page.items.map(options.format === 'csv' ? toCsvLine : toJsonLine).join(''));
    progress.update((done += page.items.length), Math.max(total, done));
    cursor = page.nextCursor;
  }
  progress.end();
}

/** Writes to standard output and waits for a slow reader. */
function write(text: string): Promise<void> {
  // The text is escaped only for a terminal; a file gets the exact values.
  const shown = process.stdout.isTTY ? forTerminal(text.replaceAll('\r\n', '\n')) : text;
  return new Promise((resolve, reject) => {
    process.stdout.write(shown, (error) => (error ? reject(error) : resolve()));
  });
}

const columns = [
  ...[
    'id',
    'event',
    'event_id',
    'table',
    'key',
    'patient',
    'webhook_id',
    'webhook',
    'url',
    'status',
    'response_status',
  ],
  ...['retry_count', 'occurred_at', 'created_at', 'delivered_at', 'failed_at', 'explanation'],
];

function toCsvLine(row: DeliveryRecord): string {
  const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  return formatLine([
    ...[row.id, row.eventType, row.eventId, row.entity.table, row.entity.key, row.patient, row.webhookId],
    ...[row.webhookName, row.webhookUrl, row.status, row.responseStatus, row.retryCount],
    ...[iso(row.occurredAtMs), iso(row.createdAtMs), iso(row.deliveredAtMs), iso(row.failedAtMs)],
    row.explanation,
  ]);
}

function toJsonLine(row: DeliveryRecord): string {
  return `${escapeJson(JSON.stringify(toJson(row)))}\n`;
}
