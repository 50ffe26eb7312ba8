import { readSchemaDifferences } from '../../audit/schema-differences.ts';
import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import type { Store } from '../../db/connection/client.ts';
import { countPending } from '../../db/schema/apply-migrations.ts';
import { migrationsFolder } from '../../db/schema/definitions.ts';
import { refusalWithin } from '../../lib/server-error.ts';

type Finding = Pick<CheckResult, 'level' | 'detail' | 'remedy'>;

const noSchema = 1049;
const noTable = 1146;

/** The line of `check` about the tables of the store: whether they match the migrations. Reads only. */
export async function checkStoreSchema(store: Store): Promise<CheckResult> {
  return { id: 'store-schema', title: 'Tables of the store', ...(await check(store)) };
}

async function check(store: Store): Promise<Finding> {
  try {
    const pending = await countPending(store, migrationsFolder);
    if (pending > 0)
      return {
        ...{ level: 'warn', detail: `${pending} migrations are to be applied.` },
        remedy: 'odontology-webhooks migrate -- `run` does it as well',
      };
    const differences = await readSchemaDifferences(store);
    const worse = differences.filter(({ level }) => level !== 'warn');
    const named = worse.length > 0 ? worse : differences;
    if (named.length === 0)
      return { level: 'pass', detail: 'They are as this version makes them.', remedy: null };
    return {
      level: worse.length > 0 ? 'fail' : 'warn',
      detail: `They are not as this version makes them: ${named.map(({ message }) => message).join('; ')}.`,
      remedy: [...new Set(named.map(({ remedy }) => remedy))].join('\n'),
    };
  } catch (error) {
    const number = refusalWithin(error)?.errno;
    if (number === noSchema || number === noTable)
      return { level: 'pass', detail: 'The first `run` makes them.', remedy: null };
    return { level: 'skip', detail: 'The store cannot be asked.', remedy: null };
  }
}
