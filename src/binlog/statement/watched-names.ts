/** What a reader reads of the source. */
export interface WatchOptions {
  /** Lower-case names of the columns that are read of a table; undefined for a table that is not read. */
  columnsOf(schema: string, table: string): ReadonlySet<string> | undefined;
  isWatchedSchema(schema: string): boolean;
  /** Those too that are not there yet. */
  watchedTables(): Iterable<string>;
  /** Whether the server ignores the letter case of tables' names (`lower_case_table_names` is not 0); left out, it does. */
  foldsNames?: boolean;
}

/** The names that a statement must not reach. They stay the same while a reader lives. */
export class WatchedNames {
  /** As the source spells them, by lower-case name. */
  readonly tables: ReadonlyMap<string, string>;
  readonly #options: WatchOptions;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.tables = new Map([...options.watchedTables()].map((name) => [name.toLowerCase(), name]));
  }

  /** Equal for names by which the server finds the same table. */
  readonly fold = (name: string): string => (this.#options.foldsNames === false ? name : name.toLowerCase());

  readonly isSchema = (name: string): boolean => this.#options.isWatchedSchema(name);

  /** Whether a name of a statement is that of a watched table, given as the source spells it. */
  isSame(schema: string, { name, table }: { name: string; table: string }): boolean {
    return name.toLowerCase() === table.toLowerCase() && this.isTable(schema, name);
  }

  readonly isTable = (schema: string, table: string): boolean => {
    if (!this.isSchema(schema)) return false;
    if (this.#options.columnsOf(schema, table) !== undefined) return true;
    // One that is not there yet, or not any more, may be spelled in any way.
    const known = this.tables.get(table.toLowerCase());
    return known !== undefined && this.#options.columnsOf(schema, known) === undefined;
  };
}
