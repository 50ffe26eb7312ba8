import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseWebhookInput, type WebhookInput } from '../../config/setting/webhook-input.ts';
import { webhookSettings } from '../../config/setting/webhook-settings.ts';
import type { Config } from '../../config/types.ts';
import { openSource } from '../../binlog/source/source.ts';
import { validateInput, validateInputSelection } from '../../daemon/validate-webhook.ts';
import type { Selection } from '../../event/subscription.ts';
import { AppError } from '../../lib/errors.ts';
import { printError } from '../terminal/output.ts';
import { parseWrittenJson } from '../../lib/written-json.ts';

/** The options that describe a webhook, as commander returns them: these, and the options in the table of settings. */
export interface SettingsOptions {
  name?: string;
  url?: string;
  event?: string[];
  [option: string]: unknown;
}

const readers: Readonly<Record<string, (text: string, former: unknown) => unknown>> = {
  filter: parseJson,
  headers: (text, former) => addHeader(text, former as Record<string, string> | undefined),
};

/** The settings that have an option, with their keys in the file. */
const optional = Object.entries(webhookSettings).flatMap(([key, { option }]) =>
  option === undefined ? [] : [{ key, ...option }],
);

/** Adds the setting options to a command. An option that is not given leaves the setting unchanged. */
export function addSettings(command: Command): Command {
  command.option('--event <type...>', 'event types: payment.received "appointment.*"');
  for (const { key, flags, description } of optional) {
    const option = new Option(flags, description);
    const read = readers[key];
    command.addOption(read ? option.argParser(read) : option);
  }
  return command;
}

/** The value of an option; null if it is the word for none. */
function valueOf({ flags, none }: (typeof optional)[number], options: SettingsOptions): unknown {
  const given = options[new Option(flags).attributeName()];
  const isNone = Array.isArray(given) ? given.includes(none) : given === none;
  return none !== undefined && isNone ? null : given;
}

/** Checks the options as the settings in the file are checked. Throws AppError ERR_USAGE with all problems. */
export function settingsOf(options: SettingsOptions, config: Config): WebhookInput {
  const input = parseWebhookInput({
    name: options.name,
    url: options.url,
    events: options.event,
    ...Object.fromEntries(optional.map((each) => [each.key, valueOf(each, options)])),
  });
  const problems = validateInput(input, config);
  if (problems.length > 0) throw new AppError('ERR_USAGE', problems.join('\n'));
  return input;
}

/**
 * Refuses names in `filter` and `fields` that none of the webhook's events has, as for the file, and prints which of its events the filter
 * excludes. Throws AppError ERR_USAGE.
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
