import type { Flavour } from '../../types.ts';
import { insertTarget } from '../insert-target.ts';
import { dictionaryRules } from '../lexical-rules.ts';
import { Lexer } from '../lexer.ts';
import { someNameIn, someReading, type Name } from '../names.ts';
import type { LoggedStatement } from '../read-statement.ts';

/** What lets a statement change a table that it does not name. An empty name stands for everything in a schema that is gone. */
export interface Link {
  /** The view, the routine, the table of a trigger, or the parent table of a foreign key: a statement reaches the link by it. */
  schema: string;
  name: string;
  kind: 'view' | 'routine' | 'trigger' | 'foreign-key';
  /**
   * Its definition, in which names without a schema are those of `bodySchema`; of a foreign key the child table. Null where our
   * user may not see it, or where it is not SQL: then it may do anything.
   */
  body: string | null;
  bodySchema: string;
  /** As the dictionary spells it: what the body was split by. */
  sqlMode: string;
}

interface Node extends Link {
  key: string;
  /** For other links, the ones that the body names. */
  names: ReadonlySet<string>;
  reaches: boolean;
}

/** Statements put together in a routine cannot be looked into. */
const dynamicWords: ReadonlySet<string> = new Set(['PREPARE', 'EXECUTE']);

/** Both servers fold the names of routines; that of tables more often than not. */
const keyOf = (schema: string, name: string): string => `${schema.toLowerCase()}\0${name.toLowerCase()}`;

export interface ReachOptions {
  flavour: Flavour;
  isWatched(schema: string, table: string): boolean;
}

/**
 * The names through which a statement can change a watched table: the watched tables themselves, and every view, routine, triggered
 * table or foreign-key parent that leads to one, over any number of steps. Counts a name too often rather than too
 * rarely: a body may change every table that it mentions.
 */
export class Reach {
  readonly #options: ReachOptions;
  /** By which a change gets to a watched table. */
  readonly #changing: ReadonlySet<string>;
  /** By which even a query does: routines, and views that call one. */
  readonly #calling: ReadonlySet<string>;

  constructor(links: readonly Link[], options: ReachOptions) {
    this.#options = options;
    const keys = new Set(links.map(({ schema, name }) => keyOf(schema, name)));
    const nodes = links.map((link) => this.#toNode(link, keys));
    this.#changing = spread(nodes, (node) => node.reaches);
    this.#calling = spread(
      nodes.filter(({ kind }) => kind === 'view' || kind === 'routine'),
      ({ kind, key }) => kind === 'routine' && this.#changing.has(key),
    );
  }

  /** Whether a statement that changes rows may change a watched table. */
  includes(statement: LoggedStatement): boolean {
    const target = insertTarget(statement.parsed);
    if (!target) {
      return this.#someName(statement, (schema, name) => this.#isChanging(schema, name));
    }
    // What else it names it only reads.
    return (
      this.#matches(target.object ?? [], target.schema, statement.schema, (schema, name) =>
        // A table that it makes has no triggers yet.
        statement.parsed.head[0] === 'CREATE'
          ? this.#options.isWatched(schema, name)
          : this.#isChanging(schema, name),
      ) || this.#someName(statement, (schema, name) => isIn(this.#calling, schema, name))
    );
  }

  #isChanging(schema: string, name: string): boolean {
    return this.#options.isWatched(schema, name) || isIn(this.#changing, schema, name);
  }

  #someName(statement: LoggedStatement, test: (schema: string, name: string) => boolean): boolean {
    return someNameIn(statement.parsed.behindHead(), (object, schema) =>
      this.#matches(object, schema, statement.schema, test),
    );
  }

  #matches(
    object: Name,
    schema: Name | null,
    ownSchema: string,
    test: (schema: string, name: string) => boolean,
  ): boolean {
    if (object.length === 0) return true;
    if (object.some((name) => someReading(schema ?? [ownSchema], (each) => test(each, name)))) return true;
    // `pk.f` may be the routine f of the package pk: the schema's place then has the name of a package.
    return schema?.some((name) => test(ownSchema, name)) ?? false;
  }

  #toNode(link: Link, keys: ReadonlySet<string>): Node {
    const key = keyOf(link.schema, link.name);
    const names = new Set<string>();
    if (link.body === null) return { ...link, key, names, reaches: true };
    const lexer = new Lexer(Buffer.from(link.body), dictionaryRules(this.#options.flavour, link.sqlMode));
    const reaches = someNameIn(lexer, (object, schema) => {
      if (lexer.type === 'word' && dynamicWords.has(lexer.keyword())) return true;
      for (const name of object) {
        for (const each of schema ?? [link.bodySchema]) {
          if (this.#options.isWatched(each, name)) return true;
          const readings = [keyOf(each, name), keyOf(each, packageOf(name)), keyOf(each, '')];
          if (schema) readings.push(keyOf(link.bodySchema, each));
          for (const named of readings) if (keys.has(named)) names.add(named);
        }
      }
      return false;
    });
    return { ...link, key, names, reaches };
  }
}

function isIn(keys: ReadonlySet<string>, schema: string, name: string): boolean {
  return [name, packageOf(name), ''].some((each) => keys.has(keyOf(schema, each)));
}

/** MariaDB logs the call of a package's routine under one quoted name: "portal"."pk.f"(). */
const packageOf = (name: string): string => name.replace(/\..*$/s, '');

/** The keys of the nodes that satisfy the test, and of all nodes that lead to one. */
function spread(nodes: readonly Node[], isFirst: (node: Node) => boolean): ReadonlySet<string> {
  const leadingTo = new Map<string, Node[]>();
  for (const node of nodes) {
    for (const name of node.names) {
      const list = leadingTo.get(name);
      if (list) list.push(node);
      else leadingTo.set(name, [node]);
    }
  }
  const found = new Set<string>();
  const queue = nodes.filter(isFirst);
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    if (found.has(node.key)) continue;
    found.add(node.key);
    queue.push(...(leadingTo.get(node.key) ?? []));
  }
  return found;
}
