import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseWebhookInput, type WebhookInput } from '../../config/setting/webhook-input.ts';
import type { Config } from '../../config/types.ts';
import { openSource } from '../../binlog/source/source.ts';
import { validateInput, validateInputSelection } from '../../daemon/validate-webhook.ts';
import type { Selection } from '../../event/subscription.ts';
import { AppError } from '../../lib/errors.ts';
import { printError } from '../terminal/output.ts';
import { parseWrittenJson } from '../../lib/written-json.ts';

/** The options that describe a webhook, as commander returns them. */
export interface SettingsOptions {
  name?: string;
  url?: string;
  event?: string[];
  filter?: unknown;
  field?: string[];
  header?: Record<string, string>;
  order?: string;
  maxInFlight?: string;
  rateLimit?: string;
  timeout?: string;
  legacySignature?: string;
  clientCertificate?: string;
}

/** Adds them to a command. An option that is not given leaves the setting as it is. */
export function addSettings(command: Command): Command {
  return command
    .option('--event <type...>', 'event types: payment.received "appointment.*"')
    .addOption(
      new Option(
        '--filter <json>',
        'only events with these values: \'{"branch_id":[1,2],"amount":{"gt":100}}\', or null',
      ).argParser(parseJson),
    )
    .option('--field <name...>', 'only these fields of data; "*" for all')
    .addOption(
      new Option('--header <name: value>', 'sent with every request; may be repeated').argParser(addHeader),
    )
    .option('--order <order>', 'entity or none')
    .option('--max-in-flight <n>', 'requests at the same time')
    .option('--rate-limit <rate>', 'requests at most, as in 50/s')
    .option('--timeout <duration>', 'for a whole request, as in 15s')
    .option('--client-certificate <name>', "one of delivery.client_certificates; '' for none")
    .option('--legacy-signature <bool>', 'whether x-webhook-signature is sent: true or false');
}

/** Checks what was given as the file's would be. Throws AppError ERR_USAGE with all problems. */
export function settingsOf(options: SettingsOptions, config: Config): WebhookInput {
  const input = parseWebhookInput({
    name: options.name,
    url: options.url,
    events: options.event,
    filter: options.filter,
    fields: options.field?.includes('*') ? null : options.field,
    headers: options.header,
    order: options.order,
    max_in_flight: options.maxInFlight,
    rate_limit: options.rateLimit,
    timeout: options.timeout,
    legacy_signature: options.legacySignature,
    client_certificate: options.clientCertificate === '' ? null : options.clientCertificate,
  });
  const problems = validateInput(input, config);
  if (problems.length > 0) throw new AppError('ERR_USAGE', problems.join('\n'));
  return input;
}

/**
 * Refuses names in `filter` and `fields` that none of its events has, as in the file, and says which of its events the filter keeps back.
 * Throws AppError ERR_USAGE.
 */
export async function requireFitSelection(selection: Selection, config: Config): Promise<void> {
  const source = openSource(config.source.url);
  try {
    const { problems, notes } = await validateInputSelection(selection, { config, source });
    if (problems.length > 0) throw new AppError('ERR_USAGE', problems.join('\n'));
    for (const note of notes) printError(`Note: ${note}.`);
  } finally {
    await source.close();
  }
}

function parseJson(text: string): unknown {
  try {
    return parseWrittenJson(text);
  } catch (error) {
    const { message, remedy } = error as AppError;
    throw new AppError('ERR_USAGE', `--filter ${message}`, { remedy });
  }
}

function addHeader(text: string, headers: Record<string, string> = {}): Record<string, string> {
  const colon = text.indexOf(':');
  if (colon < 1) throw new InvalidArgumentError('expected a name, a colon and a value');
  return { ...headers, [text.slice(0, colon)]: text.slice(colon + 1).trim() };
}
