import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { Row, RowEvent, RowOp, TableSchema } from '../../binlog/types.ts';
import { keyOf, netChanges, splitKeyChange } from '../../change/net-changes.ts';
import type { Change } from '../../change/types.ts';
import { KeyNumbers } from '../../lib/key-numbers.ts';

/*
 * The net changes of a transaction that does not fit into memory, in the order of its rows:
 *
 *   rows ──▶ 256 partitions by the row's key ──▶ each one's net changes, by itself ──▶ merged by order ──▶ batches
 *
 * All rows of one key are in one partition, so a partition's net changes are the transaction's: a change of key is a DELETE in the partition of the old
 * key and an INSERT in the partition of the new one. Both steps use a file that is unlinked before it is written, and that only this process can decrypt:
 * it disappears with the process, even after a crash.
 */

const PARTITIONS = 256;
/** Changes that are mapped and staged together. */
const BATCH_CHANGES = 500;
/** Number of net changes of one partition that the merge holds at a time: 256 × 32 in all. */
const MERGE_CHANGES = 32;

/** `order` sorts rows and changes: twice the ordinal of the row, plus 1 for the INSERT of a change of key. */
type StoredRow = [table: number, op: RowOp, before: Row | null, after: Row | null, order: number];
type StoredChange = [
  table: number,
  op: RowOp,
  key: string,
  before: Row | null,
  after: Row | null,
  order: number,
];

export class SpilledTransaction {
  readonly #rows: ChunkFile;
  readonly #changes: ChunkFile;
  readonly #tables: TableSchema[] = [];
  readonly #tableIndex = new Map<TableSchema, number>();
  /** Present image → partition, for rows without a primary key that changed within the transaction. */
  #moved = new KeyNumbers();
  #ordinal = 0;

  private constructor(rows: ChunkFile, changes: ChunkFile) {
    this.#rows = rows;
    this.#changes = changes;
  }

  static async open(): Promise<SpilledTransaction> {
    return new SpilledTransaction(await ChunkFile.open(), await ChunkFile.open());
  }

  /** Adds the next rows of the transaction. */
  async add(rows: readonly RowEvent[]): Promise<void> {
    const partitions = new Map<number, StoredRow[]>();
    for (const row of rows) {
      for (const [half, { table, op, before, after }] of splitKeyChange(row).entries()) {
        const partition = this.#partitionOf(table, before, after);
        const stored = partitions.get(partition) ?? [];
        stored.push([this.#indexOf(table), op, before, after, 2 * this.#ordinal + half]);
        partitions.set(partition, stored);
      }
      this.#ordinal += 1;
    }
    for (const [partition, stored] of partitions) await this.#rows.write(partition, stored);
  }

  /**
   * The transaction's net changes in order, in batches; no row may be added after this call. `note` is called with all of them, in another order, before
   * the first batch is returned.
   */
  async *changes(
    note: (changes: readonly Change[]) => Promise<void> = () => Promise.resolve(),
  ): AsyncGenerator<Change[], void, undefined> {
    this.#moved = new KeyNumbers();
    for (let partition = 0; partition < PARTITIONS; partition += 1) await note(await this.#reduce(partition));
    let batch: Change[] = [];
    for await (const change of this.#merged()) {
      batch.push(change);
      if (batch.length < BATCH_CHANGES) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  async discard(): Promise<void> {
    await this.#rows.close();
    await this.#changes.close();
  }

  #indexOf(table: TableSchema): number {
    let index = this.#tableIndex.get(table);
    if (index === undefined) {
      index = this.#tables.push(table) - 1;
      this.#tableIndex.set(table, index);
    }
    return index;
  }

  /** A row without a primary key stays in the partition of its first image, so that an UPDATE does not separate it from its earlier changes. */
  #partitionOf(table: TableSchema, before: Row | null, after: Row | null): number {
    const keyAfter = after && `${table.name}\0${keyOf(table, filled(after, before))}`;
    const key = before ? `${table.name}\0${keyOf(table, before)}` : (keyAfter ?? '');
    const partition = this.#moved.get(key) ?? hashOf(key) % PARTITIONS;
    if (keyAfter !== null && keyAfter !== key) {
      this.#moved.delete(key);
      this.#moved.set(keyAfter, partition);
    }
    return partition;
  }

  async #reduce(partition: number): Promise<readonly Change[]> {
    const stored: StoredRow[] = [];
    for await (const chunk of this.#rows.read<StoredRow>(partition))
      for (const row of chunk) stored.push(row);
    const rows = stored.map(([table, op, before, after]): RowEvent => ({
      table: this.#tables[table]!,
      op,
      before,
      after,
    }));
    const nets = netChanges(rows);
    const changes = nets.map(({ table, op, key, before, after, ordinal }): StoredChange => [
      this.#indexOf(table),
      op,
      key,
      before,
      after,
      stored[ordinal]![4],
    ]);
    for (let at = 0; at < changes.length; at += MERGE_CHANGES) {
      await this.#changes.write(partition, changes.slice(at, at + MERGE_CHANGES));
    }
    return nets;
  }

  async *#merged(): AsyncGenerator<Change, void, undefined> {
    const heads: Head[] = [];
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const head = await nextHead(this.#changes.read<StoredChange>(partition));
      if (head) heads.push(head);
    }
    heads.sort(byOrder);
    while (heads.length > 0) {
      const head = heads.shift()!;
      const [table, op, key, before, after, order] = head.chunk[head.at]!;
      yield { table: this.#tables[table]!, op, key, before, after, ordinal: Math.floor(order / 2) };
      const next =
        head.at + 1 < head.chunk.length ? { ...head, at: head.at + 1 } : await nextHead(head.chunks);
      if (next) insertSorted(heads, next);
    }
  }
}

/** The next change of one partition, and the source of the following ones. */
interface Head {
  chunk: StoredChange[];
  at: number;
  chunks: AsyncGenerator<StoredChange[], void, undefined>;
}

async function nextHead(chunks: Head['chunks']): Promise<Head | undefined> {
  const { value } = await chunks.next();
  return value ? { chunk: value, at: 0, chunks } : undefined;
}

const orderOf = (head: Head): number => head.chunk[head.at]![5];
const byOrder = (a: Head, b: Head): number => orderOf(a) - orderOf(b);

function insertSorted(heads: Head[], head: Head): void {
  let low = 0;
  let high = heads.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byOrder(heads[middle]!, head) < 0) low = middle + 1;
    else high = middle;
  }
  heads.splice(low, 0, head);
}

function filled(row: Row, source: Row | null): Row {
  return source && row.includes(undefined)
    ? row.map((cell, i) => (cell === undefined ? source[i] : cell))
    : row;
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Lists of values, each stored under a number, in one unlinked encrypted file. */
class ChunkFile {
  readonly #file: FileHandle;
  readonly #key = randomBytes(32);
  readonly #chunks = new Map<number, { offset: number; length: number }[]>();
  #end = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(): Promise<ChunkFile> {
    const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-'));
    const file = await open(join(folder, 'transaction'), 'wx+', 0o600);
    await rm(folder, { recursive: true });
    return new ChunkFile(file);
  }

  async write(number: number, values: readonly unknown[]): Promise<void> {
    const plain = serialize(values);
    const offset = this.#end;
    // Counter mode: each 16 bytes of the file have a counter of their own, so no part of the key stream is used twice.
    this.#end += Math.ceil(plain.length / 16) * 16;
    await this.#file.write(
      createCipheriv('aes-256-ctr', this.#key, counterAt(offset)).update(plain),
      0,
      plain.length,
      offset,
    );
    const chunks = this.#chunks.get(number) ?? [];
    chunks.push({ offset, length: plain.length });
    this.#chunks.set(number, chunks);
  }

  async *read<T>(number: number): AsyncGenerator<T[], void, undefined> {
    for (const { offset, length } of this.#chunks.get(number) ?? []) {
      const buffer = Buffer.alloc(length);
      await this.#file.read(buffer, 0, length, offset);
      yield deserialize(createDecipheriv('aes-256-ctr', this.#key, counterAt(offset)).update(buffer)) as T[];
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function counterAt(offset: number): Buffer {
  const counter = Buffer.alloc(16);
  counter.writeBigUInt64BE(BigInt(offset / 16), 8);
  return counter;
}
