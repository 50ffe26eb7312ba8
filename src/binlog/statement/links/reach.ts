import type { Flavour } from '../../types.ts';
import { insertTarget } from '../insert-target.ts';
import { dictionaryRules } from '../lexical-rules.ts';
import { Lexer } from '../lexer.ts';
import { someNameIn, someReading, type Name } from '../names.ts';
import type { LoggedStatement } from '../read-statement.ts';

/** An object through which a statement can change a table it does not name. An empty name stands for everything in a dropped schema. */
export interface Link {
  /** The view, the routine, a trigger's table, or a foreign key's parent table: a statement reaches the link through this name. */
  schema: string;
  name: string;
  kind: 'view' | 'routine' | 'trigger' | 'foreign-key';
  /**
   * Its definition, in which names without a schema belong to `bodySchema`; for a foreign key the child table. Null if our user may not
   * see it, or if it is not SQL: then it may change anything.
   */
  body: string | null;
  bodySchema: string;
  /** As the dictionary spells it; the rules for splitting the body depend on it. */
  sqlMode: string;
}

interface Node extends Link {
  key: string;
  /** Keys of other links that the body names. */
  names: ReadonlySet<string>;
  reaches: boolean;
}

/** Statements assembled inside a routine cannot be analysed. */
const dynamicWords: ReadonlySet<string> = new Set(['PREPARE', 'EXECUTE']);

/** Both servers ignore letter case in routine names, and usually in table names. */
const keyOf = (schema: string, name: string): string => `${schema.toLowerCase()}\0${name.toLowerCase()}`;

export interface ReachOptions {
  flavour: Flavour;
  isWatched(schema: string, table: string): boolean;
}

/**
 * The names through which a statement can change a watched table: the watched tables, and every view, routine, table with a trigger and
 * foreign-key parent that leads to one, directly or indirectly. Errs on the side of including a name: a body is assumed to change every
 * table it mentions.
 */
export class Reach {
  readonly #options: ReachOptions;
  /** Keys of the links through which a change reaches a watched table. */
  readonly #changing: ReadonlySet<string>;
  /** Keys of the links through which even a query does: routines, and views that call one. */
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
    // The statement only reads the other tables it names.
    return (
      this.#matches(target.object ?? [], target.schema, statement.schema, (schema, name) =>
        // A table created by the statement has no triggers yet.
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
    // `pk.f` may be the routine f of the package pk: then the name before the dot is a package's.
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

/** MariaDB logs the call of a package's routine as one quoted name: "portal"."pk.f"(). */
const packageOf = (name: string): string => name.replace(/\..*$/s, '');

/** Returns the keys of the nodes that satisfy the test, and of all nodes that lead to one of them. */
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
