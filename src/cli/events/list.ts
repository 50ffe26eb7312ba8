import { Command } from 'commander';
import { readDictionary } from '../../binlog/source/dictionary.ts';
import { namedTables } from '../../event/rule/referenced-columns.ts';
import { openSource } from '../../binlog/source/source.ts';
import type { DatabaseUrl } from '../../db/connection/database-url.ts';
import { describeRules } from '../../event/rule/describe.ts';
import { systemEvents } from '../../event/system-events.ts';
import { eventSchemas, type JsonSchema } from '../../event/rule/payload-schema.ts';
import { systemEventSchemas } from '../../event/system-event-schemas.ts';
import { builtInRulesFile, readRules, type RuleFile } from '../../event/rule/rule-file.ts';
import type { EventTypeInfo } from '../../event/types.ts';
import { configOf, configOption, type ConfigOptions } from '../argument/config-option.ts';
import { print, printJson } from '../terminal/output.ts';
import { styled } from '../terminal/styled.ts';

interface ListOptions extends ConfigOptions {
  rules?: string;
  schema?: true;
  json?: true;
}

/** `odontology-webhooks events list` */
export function eventsListCommand(): Command {
  return new Command('list')
    .description('every event type: its tables, its rule, the fields of its data')
    .addOption(configOption())
    .option('--rules <file>', 'another rules file than the one of the configuration')
    .option('--schema', 'print the JSON schema of the body of each event, as the database is now')
    .option('--json', 'print the list as JSON')
    .action(async (options: ListOptions) => {
      const file = readRules(rulesFileOf(options));
      if (options.schema) printJson(await readSchemas(file, configOf(options).source.url));
      else if (options.json) printJson({ events: describeRules(file), own: systemEvents });
      else print([...describeRules(file), ...systemEvents].map(formatType).join('\n\n'));
    });
}

/** With `--rules`, no configuration is needed. */
function rulesFileOf(options: ListOptions): string {
  return options.rules ?? configOf(options).rulesFile ?? builtInRulesFile;
}

/** Schemas by event type, including the system events; event types whose tables the database lacks are left out. */
async function readSchemas(file: RuleFile, url: DatabaseUrl): Promise<Record<string, JsonSchema>> {
  const source = openSource(url);
  try {
    const { tables } = await readDictionary(source, await source.identify(), namedTables(file));
    return Object.fromEntries([...eventSchemas(file, tables), ...systemEventSchemas()]);
  } finally {
    await source.close();
  }
}

function formatType({ type, rule, fields }: EventTypeInfo): string {
  return [styled('bold', type), `  on    ${rule}`, `  data  ${fields.join(', ')}`].join('\n');
}
