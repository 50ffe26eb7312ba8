import { passWords, readObjectName, type ObjectName } from './names.ts';
import type { ParsedStatement } from './parse-statement.ts';

/** Returns the one table that an INSERT, REPLACE, LOAD or CREATE TABLE … SELECT changes directly; null for any other statement. */
export function insertTarget(statement: ParsedStatement): ObjectName | null {
  const [verb = '', object = ''] = statement.head;
  const lexer = statement.behindHead();
  lexer.next();
  switch (verb) {
    case 'INSERT':
    case 'REPLACE':
      while (['LOW_PRIORITY', 'HIGH_PRIORITY', 'DELAYED', 'IGNORE', 'INTO'].includes(lexer.keyword()))
        lexer.next();
      return readObjectName(lexer);
    case 'LOAD':
      while (lexer.type !== 'end' && lexer.keyword() !== 'INTO') lexer.next();
      passWords(lexer, 'INTO', 'TABLE');
      return readObjectName(lexer);
    case 'CREATE':
      if (object !== 'TABLE') return null;
      passWords(lexer, 'IF', 'NOT', 'EXISTS');
      return readObjectName(lexer);
    default:
      return null;
  }
}
