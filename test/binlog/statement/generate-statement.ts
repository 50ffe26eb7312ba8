import type { Random } from '../../chaos/random.ts';
import { StatementSpeller, type Spelling } from './spell-statement.ts';

/** A table that a statement is to change: `letter` tells it apart in the names of what leads to it. */
export interface Target {
  schema: string;
  table: string;
  letter: string;
}

export interface Generated {
  /** Latin1 text of its bytes. */
  text: string;
  template: string;
  /** The schema of what the statement names: of its table, or of the view, routine or trigger that leads to it. */
  named: string;
  /** It makes or drops a routine, a view, a sequence, an event: no row changes, whatever it names. */
  isDefinition: boolean;
}

/*
 * In a template (none of which answers with rows), @ is the table, # a new id, ? a string; @v its view, @p its procedure, @f its function, @g the table whose trigger changes it,
 * @k the routine of its package, @d the name of a new object, ! the statement `UPDATE @ …` as a string. All else are words.
 */
const direct = [
  'UPDATE @ SET estado = CONCAT( # , ? ) LIMIT 1',
  'INSERT INTO @ VALUES ( # , ? )',
  'REPLACE @ SELECT # , ? FROM dual',
  'INSERT IGNORE @ ( id ) VALUES ( # )',
  'DELETE FROM @ WHERE estado <> ? LIMIT 1',
  'UPDATE @ AS x JOIN ( SELECT 1 AS n ) y SET x.estado = CONCAT( # , ? )',
  'INSERT INTO @ WITH w AS ( SELECT # AS i , ? AS s ) SELECT i , s FROM w',
  'INSERT INTO @ ( SELECT # , ? )',
  'INSERT INTO @v VALUES ( # , ? )',
  'UPDATE @v SET estado = CONCAT( # , ? )',
  'CALL @p ( # , ? )',
  'SELECT @f ( # , ? ) INTO @x',
  'DO @f ( # , ? )',
  'INSERT INTO @g VALUES ( # , ? )',
];

const ofMysql = [
  'WITH w AS ( SELECT ? AS s ) UPDATE @ JOIN w SET estado = CONCAT( # , s )',
  'WITH RECURSIVE w AS ( SELECT 1 AS n UNION SELECT n + 1 FROM w WHERE n < 3 ) DELETE @ FROM @ JOIN w ON id = n',
  'INSERT INTO @ TABLE @ ON DUPLICATE KEY UPDATE estado = CONCAT( # , ? )',
];

const ofMariadb = [
  'SET STATEMENT max_statement_time = 60 , lock_wait_timeout = ( 5 ) FOR UPDATE @ SET estado = CONCAT( # , ? )',
  'SET STATEMENT lock_wait_timeout = 5 FOR SET STATEMENT max_statement_time = 60 FOR DELETE FROM @ WHERE id = id',
  'SET STATEMENT max_statement_time = 60 FOR CALL @p ( # , ? )',
  'SET STATEMENT max_statement_time = 60 FOR INSERT INTO @ WITH w AS ( SELECT # AS i ) SELECT i , ? FROM w',
  'EXECUTE IMMEDIATE !',
  'SET STATEMENT max_statement_time = 60 FOR EXECUTE IMMEDIATE !',
];

/** Not of ORACLE mode. */
const compounds = [
  'BEGIN NOT ATOMIC IF 1 THEN BEGIN INSERT INTO @ VALUES ( # , ? ) ; END ; END IF ; END',
  'BEGIN NOT ATOMIC DECLARE citas INT DEFAULT 7 ; DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END ; UPDATE @ SET estado = CONCAT( # , ? ) ; END',
  'BEGIN NOT ATOMIC mi_etiqueta : LOOP INSERT INTO @ VALUES ( # , ? ) ; LEAVE mi_etiqueta ; END LOOP mi_etiqueta ; END',
  'IF 1 THEN UPDATE @ SET estado = CONCAT( # , ? ) ; END IF',
  'CASE 1 WHEN 1 THEN INSERT INTO @ VALUES ( # , ? ) ; ELSE DO 0 ; END CASE',
  'BEGIN NOT ATOMIC mi_etiqueta : BEGIN UPDATE @ SET estado = CONCAT( # , ? ) ; LEAVE mi_etiqueta ; END ; END',
  'BEGIN NOT ATOMIC mi_etiqueta : WHILE 1 DO INSERT INTO @ VALUES ( # , ? ) ; LEAVE mi_etiqueta ; END WHILE ; END',
  'REPEAT INSERT INTO @ VALUES ( # , ? ) ; UNTIL 1 END REPEAT',
  'FOR i IN 1 .. 1 DO INSERT INTO @ VALUES ( # , ? ) ; END FOR',
  'FOR r IN ( SELECT 1 AS n ) DO CALL @p ( # , ? ) ; END FOR',
  'SET STATEMENT max_statement_time = 60 FOR BEGIN NOT ATOMIC DELETE FROM @ WHERE estado <> ? ; END',
];

const ofOracle = [
  'BEGIN UPDATE @ SET estado = CONCAT( # , ? ) ; END',
  'BEGIN IF 1 = 1 THEN INSERT INTO @ VALUES ( # , ? ) ; ELSIF 2 = 3 THEN NULL ; END IF ; EXCEPTION WHEN OTHERS THEN NULL ; END',
  'DECLARE citas INT := 7 ; BEGIN INSERT INTO @ VALUES ( # , ? ) ; END',
  'BEGIN << mi_etiqueta >> BEGIN DELETE FROM @ WHERE estado <> ? ; END ; END',
  'BEGIN << mi_etiqueta >> LOOP INSERT INTO @ VALUES ( # , ? ) ; EXIT mi_etiqueta ; END LOOP mi_etiqueta ; END',
  'BEGIN FOR i IN 1 .. 1 LOOP INSERT INTO @ VALUES ( # , ? ) ; END LOOP ; END',
  'BEGIN WHILE 1 = 1 LOOP UPDATE @ SET estado = CONCAT( # , ? ) ; EXIT ; END LOOP ; END',
  'BEGIN GOTO fin ; << fin >> UPDATE @ SET estado = CONCAT( # , ? ) ; END',
  'BEGIN EXECUTE IMMEDIATE ! ; END',
  'CALL @k ( # , ? )',
  'BEGIN @k ( # , ? ) ; END',
  'SELECT @k_f ( # , ? ) INTO @x',
];

/** Of any mode but ORACLE, where routines are written otherwise. */
const definitions = [
  'CREATE PROCEDURE @d ( ) UPDATE @ SET estado = ?',
  'CREATE PROCEDURE @d ( ) COMMENT ? BEGIN CALL @p ( # , ? ) ; END',
  'CREATE DEFINER = CURRENT_USER FUNCTION @d ( ) RETURNS INT NO SQL RETURN @f ( # , ? )',
  'DROP PROCEDURE IF EXISTS @d',
  'DROP FUNCTION IF EXISTS @d',
];
const definitionsOfAll = [
  'CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW @d AS SELECT * FROM @ WHERE estado <> ?',
  'CREATE EVENT IF NOT EXISTS @d ON SCHEDULE EVERY 1 DAY STARTS CURRENT_TIMESTAMP + INTERVAL 1 DAY DO UPDATE @ SET estado = ?',
  'ALTER EVENT @d COMMENT ?',
  'DROP EVENT IF EXISTS @d',
  'DROP VIEW IF EXISTS @d',
];
const definitionsOfMariadb = [
  'CREATE OR REPLACE SEQUENCE @d START WITH 5 INCREMENT BY 2',
  'CREATE SEQUENCE IF NOT EXISTS @d',
  'ALTER SEQUENCE IF EXISTS @d RESTART 7',
  'DROP SEQUENCE IF EXISTS @d',
];
const definitionsOfOracle = [
  'CREATE OR REPLACE PROCEDURE @d AS BEGIN UPDATE @ SET estado = ? ; END',
  'CREATE OR REPLACE PACKAGE @d AS PROCEDURE x ; END',
  'CREATE OR REPLACE FUNCTION @d RETURN INT AS BEGIN RETURN @f ( # , ? ) ; END',
  'DROP PACKAGE IF EXISTS @d',
];

/** Generates statements that change a table, by itself or by what leads to it, and definitions of what would lead to it. */
export class StatementGenerator {
  readonly #random: Random;
  readonly #speller: StatementSpeller;
  readonly #changing: readonly string[];
  readonly #defining: readonly string[];

  constructor(random: Random, spelling: Spelling) {
    const { flavour, isOracle } = spelling;
    this.#random = random;
    this.#speller = new StatementSpeller(random, spelling);
    const isMariadb = flavour === 'mariadb';
    this.#changing = [
      ...direct,
      ...(isMariadb ? ofMariadb : ofMysql),
      ...(isOracle ? ofOracle : isMariadb ? compounds : []),
    ];
    this.#defining = [
      ...definitionsOfAll,
      ...(isOracle ? definitionsOfOracle : definitions),
      ...(isMariadb ? definitionsOfMariadb : []),
    ];
  }

  /** All that it may use. */
  get templates(): readonly string[] {
    return [...this.#changing, ...this.#defining];
  }

  /** `own` is the session's schema, `elsewhere` one besides the target's in which there is what leads to it as well. */
  generate(target: Target, { own, elsewhere }: { own: string; elsewhere: string }): Generated {
    const isDefinition = this.#random.chance(0.15);
    const template = this.#random.pick(isDefinition ? this.#defining : this.#changing);
    const isIndirect = /@[vpfgk]/.test(template);
    const named = isIndirect ? this.#random.pick([target.schema, elsewhere]) : target.schema;
    const inSchema = (schema: string, name: string): string =>
      this.#speller.qualified(schema === own && this.#random.chance(0.5) ? null : schema, name);
    const tokens = template.split(' ').map((word) => {
      const kind = /^@([vpfgk])(_f)?$/.exec(word);
      if (kind?.[1] === 'k') return `${inSchema(named, `k_${target.letter}`)}.${kind[2] ? 'f' : 'p'}`;
      if (kind) return inSchema(named, `${kind[1]}_${target.letter}`);
      if (word === '@d')
        return inSchema(this.#random.pick([target.schema, elsewhere]), `d_${this.#random.below(12)}`);
      if (word === '@') return inSchema(target.schema, target.table);
      if (word === '#') return `${this.#random.below(1e9)}`;
      if (word === '?') return this.#speller.string();
      if (word === '!')
        return `'UPDATE \`${target.schema}\`.${target.table} SET estado = CONCAT(estado, ${this.#random.below(1e9)})'`;
      return word;
    });
    return { text: this.#speller.statement(tokens), template, named, isDefinition };
  }
}

/** What leads to a table, for a client that splits at `$$`. */
export function pathsTo({ schema, table, letter }: Target, isMariadb: boolean): string[] {
  const target = `\`${schema}\`.${table}`;
  const insert = `INSERT INTO ${target} VALUES (i, CONCAT(s, 'x'))`;
  return [
    `CREATE VIEW v_${letter} AS SELECT * FROM ${target}`,
    `CREATE PROCEDURE p_${letter} (i BIGINT UNSIGNED, s VARBINARY(400)) ${insert}`,
    `CREATE FUNCTION f_${letter} (i BIGINT UNSIGNED, s VARBINARY(400)) RETURNS INT DETERMINISTIC BEGIN ${insert}; RETURN 1; END`,
    `CREATE TABLE g_${letter} (id BIGINT UNSIGNED, estado VARBINARY(500))`,
    `CREATE TRIGGER t_${letter} AFTER INSERT ON g_${letter} FOR EACH ROW INSERT INTO ${target} VALUES (NEW.id, NEW.estado)`,
    ...(isMariadb
      ? [
          "SET SESSION sql_mode = 'ORACLE'",
          `CREATE PACKAGE k_${letter} AS PROCEDURE p (i INT, s VARBINARY(400)); FUNCTION f (i INT, s VARBINARY(400)) RETURN INT; END`,
          `CREATE PACKAGE BODY k_${letter} AS PROCEDURE p (i INT, s VARBINARY(400)) AS BEGIN ${insert}; END;
             FUNCTION f (i INT, s VARBINARY(400)) RETURN INT AS BEGIN ${insert}; RETURN 1; END; END`,
          'SET SESSION sql_mode = DEFAULT',
        ]
      : []),
  ];
}
