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
  /** Reads the log from a position to its current end; true as soon as a statement satisfies the test. */
  scanLog(from: Position, test: (statement: LoggedStatement) => boolean): Promise<boolean>;
}

/** Reading the dictionary of a large server is slow. */
const QUERY_TIMEOUT_MS = 60_000;
/** Limit of links removed between a statement and now that are kept in memory. */
const MAX_REMOVED = 100_000;

/**
 * Answers questions about definitions at a place of the log from the current dictionary. The dictionary is valid for that place only if
 * no statement between there and the end of the log could have changed its answer: after reading the dictionary, a separate reader
 * reads the log to its end to check this. One instance lives as long as a reader of the log.
 */
export class DefinitionProof {
  readonly #options: DefinitionProofOptions;
  /** Valid from the place where it was proved until a definition changes it. */
  #reach: Reach | null = null;

  constructor(options: DefinitionProofOptions) {
    this.#options = options;
  }

  /** What statements can reach at the place being read; null until `provesHarmless` has proved it. */
  get reach(): Reach | null {
    return this.#reach;
  }

  /** Call after reading a definition that changes what statements can reach. */
  forget(): void {
    this.#reach = null;
  }

  /**
   * Whether a statement directly after a position provably reaches no watched table. Throws a retryable AppError when the source cannot
   * be queried.
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

  /** Returns the links removed between a position and now; null if they cannot be determined. */
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
   * Whether a loss of partitions directly after a position provably affects only historical rows of a system-versioned table: of a
   * table partitioned by SYSTEM_TIME, MariaDB drops only historical partitions, but it truncates the current one as well.
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

  /** Returns those of the named tables whose engine cannot roll back a change. */
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

  /** Null if the server refuses a query: then nothing is known. */
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

/** Null if our user may not see all links. */
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
