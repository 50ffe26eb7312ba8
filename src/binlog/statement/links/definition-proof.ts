import { errnoOf } from '../../../db/connection/connect-error.ts';
import { openSource, type Source } from '../../source/source.ts';
import type { DatabaseUrl } from '../../../db/connection/database-url.ts';
import type { Position } from '../../types.ts';
import type { ObjectName } from '../names.ts';
import { Reach, type Link, type ReachOptions } from './reach.ts';
import { missingPrivileges, readLinks } from './read-links.ts';
import type { LoggedStatement } from '../read-statement.ts';
import { removedLinks, repartitions } from './link-changes.ts';
import type { PartitionLoss } from '../unlogged-rows.ts';

export interface DefinitionProofOptions extends ReachOptions {
  url: DatabaseUrl | null;
  /** Reads the log from a position to its present end; true as soon as a statement satisfies the test. */
  scanLog(from: Position, test: (statement: LoggedStatement) => boolean): Promise<boolean>;
}

/** The dictionary of a large server takes its time. */
const QUERY_TIMEOUT_MS = 60_000;
/** Links that were removed between a statement and now: more are not kept in memory. */
const MAX_REMOVED = 100_000;

/**
 * Answers questions about definitions at a place of the log from the dictionary of now. What the dictionary says holds for that place
 * only if no statement between there and the end of the log could have made it otherwise: the log is read to its end for that,
 * by a reader of its own, after the dictionary was. One lives as long as a reader of the log.
 */
export class DefinitionProof {
  readonly #options: DefinitionProofOptions;
  /** Holds from where it was proved until a definition is met that changes it. */
  #reach: Reach | null = null;

  constructor(options: DefinitionProofOptions) {
    this.#options = options;
  }

  /** What can be reached at the place that is read now; null until `proveReach` has found it. */
  get reach(): Reach | null {
    return this.#reach;
  }

  /** A definition was read that changes what can be reached. */
  forget(): void {
    this.#reach = null;
  }

  /**
   * Whether a statement right behind a position provably reaches no watched table. Throws an AppError when the source cannot be
   * asked, which is worth another try.
   */
  async provesHarmless(statement: LoggedStatement, at: Position): Promise<boolean> {
    const links = await this.#withSource(readAllLinks);
    if (!links || new Reach(links, this.#options).includes(statement)) return false;
    const removed = await this.#findRemoved(at);
    if (!removed) return false;
    const reach = new Reach([...links, ...removed], this.#options);
    if (reach.includes(statement)) return false;
    this.#reach = reach;
    return true;
  }

  /** The links that were removed between a position and now; null where they cannot be told. */
  async #findRemoved(at: Position): Promise<Link[] | null> {
    const removed: Link[] = [];
    const isLost = await this.#options.scanLog(at, (statement) => {
      const links = removedLinks(statement);
      if (links === 'any' || removed.length > MAX_REMOVED) return true;
      removed.push(...links);
      return false;
    });
    return isLost ? null : removed;
  }

  /**
   * Whether a loss of partitions right behind a position provably concerns past rows of a system-versioned table alone: MariaDB drops
   * no other partition of a table that is partitioned by SYSTEM_TIME, but it empties the current one as well.
   */
  async provesHistory(
    table: { schema: string; name: ObjectName },
    loss: PartitionLoss,
    at: Position,
  ): Promise<boolean> {
    const current = await this.#withSource((source) => readPartitions(source, table));
    if (!current?.length) return false;
    if (current.some(({ method }) => method !== 'SYSTEM_TIME')) return false;
    const isPast = (name: string): boolean =>
      current.some((each) => each.name === name.toLowerCase() && each.description !== 'CURRENT');
    const isSafe = loss.verb === 'DROP' || loss.names.every((name) => name.length > 0 && name.every(isPast));
    return isSafe && !(await this.#options.scanLog(at, (statement) => repartitions(statement, table.name)));
  }

  /** The tables, of those named, whose engine cannot undo a change. */
  async findNonTransactional(tables: readonly { schema: string; name: string }[]): Promise<string[]> {
    const found = await this.#withSource(async (source) => {
      const asked = await Promise.all(
        tables.map(async ({ schema, name }) => {
          const rows = await source.query(
            'SELECT e.transactions AS transactions FROM information_schema.tables t' +
              ' JOIN information_schema.engines e ON e.engine = t.engine WHERE t.table_schema = ? AND t.table_name = ?',
            [schema, name],
          );
          return rows[0]?.['transactions'] === 'YES' ? [] : [`${schema}.${name}`];
        }),
      );
      return asked.flat();
    });
    return found ?? tables.map(({ schema, name }) => `${schema}.${name}`);
  }

  /** Null where the server refuses a question: then nothing is known. */
  async #withSource<T>(ask: (source: Source) => Promise<T>): Promise<T | null> {
    if (this.#options.url === null) return null;
    const source = openSource(this.#options.url, { connections: 1, queryTimeoutMs: QUERY_TIMEOUT_MS });
    try {
      return await ask(source);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return null;
    } finally {
      await source.close();
    }
  }
}

/** Null where our user may not see all of them. */
async function readAllLinks(source: Source): Promise<Link[] | null> {
  const missing = await missingPrivileges(source, await source.identify());
  return missing.length > 0 ? null : readLinks(source);
}

async function readPartitions(
  source: Source,
  { schema, name }: { schema: string; name: ObjectName },
): Promise<{ name: string; method: string; description: string }[]> {
  const rows = await Promise.all(
    (name.object ?? []).map((table) =>
      source.query(
        'SELECT partition_name AS name, partition_method AS method, partition_description AS description' +
          ' FROM information_schema.partitions WHERE table_schema = ? AND table_name = ? AND partition_name IS NOT NULL',
        [name.schema?.[0] ?? schema, table],
      ),
    ),
  );
  return rows.flat().map((row) => ({
    name: String(row['name']).toLowerCase(),
    method: String(row['method']),
    description: String(row['description']),
  }));
}
