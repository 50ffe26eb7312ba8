import type { Difference } from '../binlog/second-reader/compare/comparison.ts';
import type { Session, Store } from '../db/connection/client.ts';
import { parseStored, storedText } from '../db/proof/stored-json.ts';

/** The results of comparing our decoder with zongji on this installation. */
export interface DecoderRecord {
  /** Our version and zongji's: a new version of either is compared again. */
  versions: string;
  /** Lower-case names of the tables of which rows were compared. */
  tables: readonly string[];
  /** Differences that are not accepted: capture halts. */
  differences: readonly Difference[];
  /** Accepted differences: they do not halt again. */
  accepted: readonly Pick<Difference, 'table' | 'column' | 'type'>[];
}

/** Reads the record, locked until the end of the transaction; an empty record if nothing was compared with these versions. */
export async function readDecoderRecord(session: Session, versions: string): Promise<DecoderRecord> {
  const [row] = await session.rows<{ record: string | null }>(
    'SELECT decoder_check AS record FROM installation WHERE id = 1 FOR UPDATE',
  );
  const empty: DecoderRecord = { versions, tables: [], differences: [], accepted: [] };
  if (!row?.record) return empty;
  const known = toRecord(row.record);
  return known.versions === versions ? known : { ...empty, accepted: known.accepted };
}

/** Adds the results of a comparison. Returns the new record. */
export function noteComparison(
  store: Store,
  versions: string,
  found: { tables: readonly string[]; differences: readonly Difference[] },
): Promise<DecoderRecord> {
  return store.transaction(async (tx) => {
    const known = await readDecoderRecord(tx, versions);
    const isNew = (each: Difference): boolean =>
      ![...known.accepted, ...known.differences].some((other) => isSame(each, other));
    const record: DecoderRecord = {
      ...known,
      tables: [...new Set([...known.tables, ...found.tables])],
      differences: [...known.differences, ...found.differences.filter(isNew)],
    };
    await write(tx, record);
    return record;
  });
}

/** Accepts the differences that stopped capture. The same table, column and type does not stop it again; another one does. */
export async function acceptDifferences(session: Session, differences: readonly Difference[]): Promise<void> {
  const [row] = await session.rows<{ record: string }>(
    'SELECT decoder_check AS record FROM installation WHERE id = 1 FOR UPDATE',
  );
  const known = toRecord(row!.record);
  const isAccepted = (each: Difference): boolean => differences.some((other) => isSame(each, other));
  await write(session, {
    ...known,
    differences: known.differences.filter((each) => !isAccepted(each)),
    accepted: [...known.accepted, ...differences.map(({ table, column, type }) => ({ table, column, type }))],
  });
}

/** The differences that stopped capture, for the operator who accepts them. */
export async function readDifferences(session: Session): Promise<readonly Difference[]> {
  const [row] = await session.rows<{ record: string | null }>(
    'SELECT decoder_check AS record FROM installation WHERE id = 1',
  );
  return row?.record ? toRecord(row.record).differences : [];
}

function toRecord(text: string): DecoderRecord {
  return parseStored('installation.decoder_check', text, 1) as DecoderRecord;
}

async function write(session: Session, record: DecoderRecord): Promise<void> {
  await session.run('UPDATE installation SET decoder_check = ? WHERE id = 1', [
    storedText('installation.decoder_check', record),
  ]);
}

type Where = Pick<Difference, 'table' | 'column' | 'type'>;

const isSame = (a: Where, b: Where): boolean =>
  a.table === b.table && a.column === b.column && a.type === b.type;
