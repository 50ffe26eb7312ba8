import {
  passWords,
  readObjectName,
  readObjectNames,
  someNameIn,
  someReading,
  type ObjectName,
} from '../names.ts';
import type { ParsedStatement } from '../parse-statement.ts';
import type { Link } from './reach.ts';
import type { LoggedStatement } from '../read-statement.ts';
import { readMoves } from '../unlogged-rows.ts';

/* Finds the logged definitions that make a dictionary read at another time wrong about a statement. */

/** Whether a definition may have created a link, so that a dictionary read before it lacks the link. */
export function makesLink({ effect, parsed }: LoggedStatement): boolean {
  const [verb = '', object = ''] = parsed.head;
  if (effect === 'unknown') return true;
  // The server logs what an event or a procedure does statement by statement.
  if (effect === 'reference') return verb !== 'DROP' && object !== 'EVENT';
  if (effect !== 'definition' && effect !== 'change') return false;
  if (verb === 'RENAME') return true;
  return object === 'TABLE' && (verb === 'CREATE' || verb === 'ALTER') && hasKeyword(parsed, makers);
}

/** Words in a table definition: a foreign key, or a rename of the table and its dependents. */
const makers: ReadonlySet<string> = new Set(['REFERENCES', 'RENAME']);

/**
 * Returns the links that a definition may have removed or changed, so that a dictionary read after it lacks them; the target of each is
 * unknown. `any` if the definition does not name them: a trigger's table, a foreign key's parent.
 */
export function removedLinks({ schema, effect, parsed }: LoggedStatement): Link[] | 'any' {
  if (effect === 'unknown') return 'any';
  const names = removedNames(parsed);
  if (names === 'any') return 'any';
  const links: Link[] = [];
  for (const { kind, name } of names) {
    const schemas = name.schema ?? [schema];
    const objects = name.object ?? [''];
    if (schemas.length === 0 || objects.length === 0) return 'any';
    for (const each of schemas) {
      for (const object of objects) {
        links.push({ schema: each, name: object, kind, body: null, bodySchema: each, sqlMode: '' });
      }
    }
  }
  return links;
}

type RemovedName = { kind: Link['kind']; name: ObjectName };

function removedNames(parsed: ParsedStatement): RemovedName[] | 'any' {
  const [verb = '', object = ''] = parsed.head;
  const lexer = parsed.behindHead();
  lexer.next();
  const toNames = (kind: Link['kind']): RemovedName[] => {
    passWords(lexer, 'IF', 'NOT', 'EXISTS');
    return readObjectNames(lexer).map((name) => ({ kind, name }));
  };
  const isReplaced = verb === 'DROP' || parsed.isOrReplace;
  switch (object) {
    case 'TABLE':
    case 'TABLES':
    case 'SEQUENCE':
      if (verb === 'RENAME' || verb === 'ALTER') return renamedNames(parsed);
      return isReplaced && !parsed.isTemporary ? toNames('trigger') : [];
    case 'DATABASE':
    case 'SCHEMA': {
      if (!isReplaced) return [];
      passWords(lexer, 'IF', 'NOT', 'EXISTS');
      return [{ kind: 'routine', name: { schema: readObjectName(lexer)?.object ?? [], object: null } }];
    }
    case 'VIEW':
      return isReplaced || verb === 'ALTER' ? toNames('view') : [];
    case 'TRIGGER':
      return isReplaced || verb === 'ALTER' ? 'any' : [];
    case 'PACKAGE':
      if (isReplaced) passWords(lexer, 'BODY');
      return isReplaced ? toNames('routine') : [];
    case 'FUNCTION':
    case 'PROCEDURE':
      return isReplaced ? toNames('routine') : [];
    default:
      return [];
  }
}

function renamedNames(parsed: ParsedStatement): RemovedName[] | 'any' {
  const moves = readMoves(parsed);
  if (moves.length === 0) return parsed.head[0] === 'ALTER' && hasKeyword(parsed, keyRemovers) ? 'any' : [];
  return moves.flatMap(({ from, to }) => [from, to].map((name) => ({ kind: 'trigger' as const, name })));
}

/** Words of an ALTER TABLE that may drop a foreign key. */
const keyRemovers: ReadonlySet<string> = new Set(['FOREIGN', 'CONSTRAINT']);

function hasKeyword(parsed: ParsedStatement, words: ReadonlySet<string>): boolean {
  const lexer = parsed.behindHead();
  while (lexer.next() !== 'end') if (words.has(lexer.keyword())) return true;
  return false;
}

/** Words of an ALTER TABLE that changes a table's partitioning beyond adding or dropping partitions. */
const partitioning: ReadonlySet<string> = new Set([
  'BY',
  'REMOVE',
  'RENAME',
  'EXCHANGE',
  'CONVERT',
  'REORGANIZE',
  'VERSIONING',
]);

/** Whether a definition may have changed a table's partitioning: any that names the table, unless it only adds or drops partitions. */
export function repartitions({ effect, parsed }: LoggedStatement, table: ObjectName): boolean {
  if (effect === 'unknown') return true;
  if (effect !== 'definition') return false;
  const wanted = new Set((table.object ?? []).map((name) => name.toLowerCase()));
  const isNamed = someNameIn(parsed.behindHead(), (name) =>
    someReading(name, (reading) => wanted.has(reading.toLowerCase())),
  );
  const isOfSchema = parsed.head[1] === 'DATABASE' || parsed.head[1] === 'SCHEMA';
  if (!isNamed && !isOfSchema) return false;
  return parsed.head.join(' ') !== 'ALTER TABLE' || hasKeyword(parsed, partitioning);
}
