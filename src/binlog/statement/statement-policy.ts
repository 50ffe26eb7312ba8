import type { DatabaseUrl } from '../../db/connection/database-url.ts';
import { findAltered, type AlteredTable } from '../definition/altered-table.ts';
import { readCopyDefinition, type CopyDefinition } from '../definition/possible-copies.ts';
import { CaptureFault } from '../halt.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import { acceptGapCommand, droppedSchemaRemedy, steps } from '../remedy.ts';
import type { Flavour, Position } from '../types.ts';
import { DefinitionProof, type DefinitionProofOptions } from './links/definition-proof.ts';
import { createRulesReader, type LexicalRules } from './lexical-rules.ts';
import { makesLink } from './links/link-changes.ts';
import { passWords, someNameIn, someReading, type ObjectName } from './names.ts';
import { Reach } from './links/reach.ts';
import { parseLogged, readRawStatement, type LoggedStatement } from './read-statement.ts';
import type { StatusVariables } from './status-variables.ts';
import { findUnloggedRows, type ReplacedTable, type UnloggedRows } from './unlogged-rows.ts';
import { WatchedNames, type WatchOptions } from './watched-names.ts';

export interface StatementPolicyOptions extends WatchOptions {
  flavour: Flavour;
  charsetOf(collation: number): string | undefined;
  /** Null where nothing is watched: then nothing is asked. */
  url: DatabaseUrl | null;
  /** See DefinitionProof. */
  scanLog: DefinitionProofOptions['scanLog'];
  /** For a reader that only looks for definitions: is given every statement, none of which stops it. */
  onStatement?(statement: LoggedStatement): void;
}

export interface TableDefinitions {
  altered: readonly AlteredTable[];
  copies: CopyDefinition | null;
}

export interface ReplacedTables {
  /** Whether there is another table by this name, or none. */
  isReplaced(table: string): boolean;
  isGone(table: string): boolean;
}

/** Decides about statements of the log: which must stop the reader, and which tables they define. */
export class StatementPolicy {
  readonly #options: StatementPolicyOptions;
  readonly #rulesOf: (variables: StatusVariables) => LexicalRules;
  readonly #watched: WatchedNames;
  /** What a statement reaches by naming it. */
  readonly #direct: Reach;
  readonly #proof: DefinitionProof;

  constructor(options: StatementPolicyOptions) {
    this.#options = options;
    this.#rulesOf = createRulesReader(options);
    this.#watched = new WatchedNames(options);
    const reaching = { flavour: options.flavour, isWatched: this.#watched.isTable };
    this.#direct = new Reach([], reaching);
    this.#proof = new DefinitionProof({ ...reaching, url: options.url, scanLog: options.scanLog });
  }

  read(event: LogEvent): LoggedStatement {
    const raw = readRawStatement(event);
    return parseLogged(raw, this.#rulesOf(raw.variables));
  }

  /** The savepoint that a SAVEPOINT sets or a ROLLBACK TO goes back to: `ROLLBACK [WORK] TO [SAVEPOINT] name`. */
  savepointOf({ parsed }: LoggedStatement): string {
    const lexer = parsed.behindHead();
    lexer.next();
    passWords(lexer, 'WORK', 'TO', 'SAVEPOINT');
    return lexer.type === 'word' || lexer.type === 'name' ? (lexer.name()[0] ?? '') : '';
  }

  /** Must be called for every statement, also for one whose loss was accepted: what is known of definitions may end with it. */
  note(statement: LoggedStatement): void {
    this.#options.onStatement?.(statement);
    if (this.#proof.reach && makesLink(statement)) this.#proof.forget();
  }

  /**
   * Throws a CaptureFault for a statement after which a change of a watched table would be missing. Returns a promise where the source must
   * be asked whether it is one; it may also reject with an AppError that is worth another try.
   */
  refuse(statement: LoggedStatement, at: Position): void | Promise<void> {
    if (this.#options.onStatement) return;
    switch (statement.effect) {
      case 'change':
        return this.#refuseChange(statement, at);
      case 'definition':
        return this.#refuseUnloggedRows(statement, at);
      case 'unknown':
        this.#refuseUnknown(statement);
        return;
      default:
        return;
    }
  }

  #refuseChange(statement: LoggedStatement, at: Position): void | Promise<void> {
    const { changedSchemas } = statement.variables;
    if (changedSchemas && !changedSchemas.some(this.#watched.isSchema)) return;
    if (this.#direct.includes(statement)) throw this.#statementFormat('a change of a watched table');
    const { reach } = this.#proof;
    if (reach) {
      if (reach.includes(statement)) throw this.#statementFormat('a change that can reach a watched table');
      return;
    }
    return this.#proof.provesHarmless(statement, at).then((isProved) => {
      if (!isProved)
        throw this.#statementFormat('a change of which it cannot be proved that it reaches no watched table');
    });
  }

  /** Rows that come or go without row events: their changes cannot be told, and afterwards nothing shows that they are missing. */
  #refuseUnloggedRows(statement: LoggedStatement, at: Position): void | Promise<void> {
    if (statement.parsed.isUncertain()) {
      this.#refuseUnknown(statement);
      return;
    }
    const unlogged = findUnloggedRows(statement.parsed, this.#watched.fold);
    const hit = unlogged?.tables.find((name) => this.#isWatched(name, statement.schema));
    if (!unlogged || !hit) return;
    const halt = unloggedRows(unlogged, hit, statement.schema);
    const { partitions } = unlogged;
    if (!partitions || this.#options.flavour !== 'mariadb') throw halt;
    const table = { schema: statement.schema, name: hit };
    return this.#proof.provesHistory(table, partitions, at).then((isHistory) => {
      if (!isHistory) throw halt;
    });
  }

  #statementFormat(what: string): CaptureFault {
    return new CaptureFault(
      'statement-format',
      `${what} is logged as a statement, not as rows: "odontology-webhooks check" says what to set or to grant`,
      {
        remedy: steps(
          // The setting is ROW more often than not: it is a session, a table or a missing privilege.
          'Sessions that set binlog_format themselves must set it to ROW.',
          acceptGapCommand('statement format'),
        ),
      },
    );
  }

  #refuseUnknown({ schema, parsed }: LoggedStatement): void {
    const { isSchema } = this.#watched;
    const mayConcern =
      isSchema(schema) || someNameIn(parsed.behindHead(), (name) => someReading(name, isSchema));
    if (!mayConcern) return;
    throw new CaptureFault(
      'unknown-statement',
      'the log holds a statement of an unknown kind that may concern the watched schema; a later version of odontology-webhooks may know it',
      {
        remedy: steps(
          'Upgrade odontology-webhooks to a version that knows the statement: capture then continues.',
          'Or give up the changes of the statement:',
          acceptGapCommand('unknown statement'),
        ),
      },
    );
  }

  #isWatched({ schema, object }: ObjectName, ownSchema: string): boolean {
    const { isSchema, isTable, tables } = this.#watched;
    const schemas = schema ?? [ownSchema];
    if (object === null) return someReading(schemas, isSchema);
    if (schemas.length === 0) return someReading(object, (name) => tables.has(name.toLowerCase()));
    return schemas.some((each) =>
      object.length === 0 ? isSchema(each) : object.some((name) => isTable(each, name)),
    );
  }

  /** What a definition does to the columns of watched tables, and to tables that may be the copies of online schema changes. */
  definitionsOf(statement: LoggedStatement): TableDefinitions {
    if (this.#options.onStatement) return { altered: [], copies: null };
    return {
      altered: findAltered(statement, this.#watched),
      copies: readCopyDefinition(statement, this.#watched),
    };
  }

  /** The watched tables that a definition names: what is known of them must be looked at again. */
  definedTables({ effect, schema, parsed }: LoggedStatement): string[] {
    if (effect === 'harmless') return [];
    const { isSchema, tables } = this.#watched;
    const named = new Set<string>();
    let concerns = isSchema(schema);
    const isUncertain = someNameIn(parsed.behindHead(), (name) => {
      concerns ||= someReading(name, isSchema);
      for (const reading of name.length === 0 ? tables.keys() : name) {
        const table = tables.get(reading.toLowerCase());
        if (table !== undefined) named.add(table);
      }
      return false;
    });
    if (isUncertain) return [...tables.values()];
    return concerns ? [...named] : [];
  }

  /** Of a statement whose loss was accepted: finds the tables by whose names there is another one now, or none. */
  replacedTables({ schema: ownSchema, parsed }: LoggedStatement): ReplacedTables | null {
    const replaced = findUnloggedRows(parsed, this.#watched.fold)?.replaced;
    if (!replaced) return null;
    const find = (table: string, among: readonly ReplacedTable[]): boolean =>
      among.some(
        ({ name: { schema, object } }) =>
          someReading(schema ?? [ownSchema], this.#watched.isSchema) &&
          (object === null || someReading(object, (name) => name.toLowerCase() === table.toLowerCase())),
      );
    const gone = replaced.filter(({ isGone }) => isGone);
    return { isReplaced: (table) => find(table, replaced), isGone: (table) => find(table, gone) };
  }

  /**
   * Rejects with a CaptureFault unless all the tables can undo their changes. Both servers log rows of other tables in a group of their own that
   * ends with COMMIT (`use_trans_cache` in MariaDB's sql/log.cc), so that such rows never precede a ROLLBACK; this makes sure of it.
   */
  async requireUndone(tables: readonly { schema: string; name: string }[]): Promise<void> {
    const found = await this.#proof.findNonTransactional(tables);
    if (found.length === 0) return;
    throw new CaptureFault(
      'undecodable',
      `rows of ${found.join(', ')}, which cannot undo them, precede a ROLLBACK: it is not certain whether they are there. Give every watched table ENGINE=InnoDB`,
      { table: found[0]!, remedy: acceptGapCommand('rolled back in part') },
    );
  }
}

/** A policy under which no statement stops the reader: for one that looks only for where transactions begin and end. */
export function watchNothing(server: Pick<StatementPolicyOptions, 'flavour' | 'charsetOf'>): StatementPolicy {
  return new StatementPolicy({
    ...server,
    columnsOf: () => undefined,
    isWatchedSchema: () => false,
    watchedTables: () => [],
    url: null,
    scanLog: () => Promise.resolve(false),
    onStatement: () => undefined,
  });
}

function unloggedRows(
  { statement }: UnloggedRows,
  { schema, object }: ObjectName,
  ownSchema: string,
): CaptureFault {
  const parts = [schema?.[0] ?? ownSchema, ...(object === null ? [] : [object[0] ?? '?'])];
  return new CaptureFault(
    'truncate',
    `${statement} took rows of ${parts.join('.')} away, or brought some, without logging them; DELETE and INSERT are logged`,
    {
      ...(object === null ? {} : { table: parts.join('.') }),
      remedy: statement === 'DROP DATABASE' ? droppedSchemaRemedy(parts[0]!) : acceptGapCommand(statement),
    },
  );
}
