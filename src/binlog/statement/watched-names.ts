/** The part of the source that a reader reads. */
export interface WatchOptions {
  /** Lower-case names of the columns to read from a table; undefined for a table that is not read. */
  columnsOf(schema: string, table: string): ReadonlySet<string> | undefined;
  isWatchedSchema(schema: string): boolean;
  /** Names of the watched tables, including tables that do not exist yet. */
  watchedTables(): Iterable<string>;
  /** Whether the server ignores letter case in table names (`lower_case_table_names` is not 0); default true. */
  foldsNames?: boolean;
}

/** The names that a statement must not reach. They are constant for the lifetime of a reader. */
export class WatchedNames {
  /** Names as the source spells them, by lower-case name. */
  readonly tables: ReadonlyMap<string, string>;
  readonly #options: WatchOptions;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.tables = new Map([...options.watchedTables()].map((name) => [name.toLowerCase(), name]));
  }

  /** Maps names of the same table to equal strings. */
  readonly fold = (name: string): string => (this.#options.foldsNames === false ? name : name.toLowerCase());

  readonly isSchema = (name: string): boolean => this.#options.isWatchedSchema(name);

  /** Whether a name in a statement is that of a watched table, given as the source spells it. */
  isSame(schema: string, { name, table }: { name: string; table: string }): boolean {
    return name.toLowerCase() === table.toLowerCase() && this.isTable(schema, name);
  }

  readonly isTable = (schema: string, table: string): boolean => {
    if (!this.isSchema(schema)) return false;
    if (this.#options.columnsOf(schema, table) !== undefined) return true;
    // A table that does not exist yet, or no longer exists, may be spelled in any case.
    const known = this.tables.get(table.toLowerCase());
    return known !== undefined && this.#options.columnsOf(schema, known) === undefined;
  };
}
