import { expect, test } from 'vitest';
import { splitSqlScript } from '../../../src/demo/sql-script.ts';

test.each([
  ['SELECT 1; SELECT 2;', ['SELECT 1', 'SELECT 2']],
  ['SELECT 1', ['SELECT 1']],
  [' ;; \n ;', []],
  [`SELECT 'a;b', "c;d", \`e;f\`; SELECT 2;`, [`SELECT 'a;b', "c;d", \`e;f\``, 'SELECT 2']],
  [
    String.raw`SELECT 'it\'s; fine', 'it''s; too'; SELECT 2`,
    [String.raw`SELECT 'it\'s; fine', 'it''s; too'`, 'SELECT 2'],
  ],
  ['-- one; two\nSELECT 1; # three;\n/* four; */ SELECT 2;', ['SELECT 1', 'SELECT 2']],
  ['SELECT 1 /* a; b */ + 1; SELECT 3--2;', ['SELECT 1 /* a; b */ + 1', 'SELECT 3--2']],
  ['/*!40101 SET NAMES utf8mb4 */; SELECT 1;', ['/*!40101 SET NAMES utf8mb4 */', 'SELECT 1']],
  [
    'DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END //\ndelimiter ;\nSELECT 3;',
    ['CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END', 'SELECT 3'],
  ],
  ["SELECT 'DELIMITER //'; SELECT 'é🦷';", ["SELECT 'DELIMITER //'", "SELECT 'é🦷'"]],
])('%j', (script, statements) => {
  expect(splitSqlScript(script)).toEqual(statements);
});
