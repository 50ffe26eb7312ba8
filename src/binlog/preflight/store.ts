import { smallestPacketBytes } from '../../db/connection/sql-text.ts';
import { raisePacket } from '../../db/connection/store-error.ts';
import { AppError } from '../../lib/errors.ts';
import { fail, pass, skip, warn, type Check, type Facts, type Finding, type StoreLimits } from './check.ts';

export const writable: Check = {
  id: 'store',
  title: 'Our own schema',
  run: ({ probeStore }) => probeStore && tryStore(probeStore),
};

/** Tests whether the store can be written. Needs nothing from the source. */
export async function tryStore(probeStore: () => Promise<StoreLimits>): Promise<Finding> {
  try {
    await probeStore();
    return pass('It can be written.');
  } catch (error) {
    if (error instanceof AppError) return fail(error.message, error.remedy);
    throw error;
  }
}

/** Types with values larger than 64 KiB. */
const largeTypes =
  /^(medium|long)(text|blob)\b|^json\b|^vector\b|^(geometry|.*(point|linestring|polygon|collection))\b/;

function largeColumns({ tables }: Facts): string[] {
  return tables.flatMap(({ table, columns }) =>
    [...columns].flatMap((name) => {
      const column = table?.columnOf.get(name.toLowerCase());
      return column && largeTypes.test(column.type) ? [`${table!.name}.${column.name}`] : [];
    }),
  );
}

const packetSize: Check = {
  id: 'store-packet',
  title: 'Size of an event',
  async run(facts) {
    if (!facts.probeStore) return null;
    const limits = await facts.probeStore().catch(() => null);
    if (!limits) return skip('The store cannot be asked.');
    const { packetBytes } = limits;
    if (packetBytes < smallestPacketBytes) {
      return fail(
        `max_allowed_packet of the store's server is ${packetBytes}: our statements need 1 MiB.`,
        raisePacket(smallestPacketBytes),
      );
    }
    const sourceBytes = Number(facts.variables.get('max_allowed_packet') ?? 0);
    const large = largeColumns(facts);
    if (large.length === 0 || packetBytes >= sourceBytes) {
      return pass(`The store takes statements of ${packetBytes / smallestPacketBytes} MiB.`);
    }
    return warn(
      `Rules name ${large.join(', ')}: the source takes rows of ${sourceBytes} bytes, the store statements of ${packetBytes}. An event that is larger stops capture.`,
      raisePacket(sourceBytes),
    );
  },
};

const idleLog: Check = {
  id: 'store-binlog',
  title: 'Binlog of an idle daemon',
  async run({ probeStore }) {
    if (!probeStore) return null;
    const limits = await probeStore().catch(() => null);
    if (!limits) return skip('The store cannot be asked.');
    const { grantForLessLog } = limits;
    return grantForLessLog === undefined
      ? pass('At most 13 KB a minute: rows are logged with the columns that change.')
      : pass(`At most 20 KB a minute; about two thirds of it after ${grantForLessLog}`);
  },
};

/** Checks of the store; they apply only if the caller passes `probeStore`. */
export const storeChecks: readonly Check[] = [writable, packetSize, idleLog];
