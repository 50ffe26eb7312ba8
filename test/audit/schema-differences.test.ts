import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareAuditor } from '../../src/audit/auditor.ts';
import { readSchemaDifferences, requireSchema } from '../../src/audit/schema-differences.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { recordAct } from '../../src/audit/act/record-act.ts';
import { openTestStore, type TestStore } from '../outbox/support.ts';
import { servers, sharedServer } from '../support/server.ts';

interface Edit {
  sql: string;
  /** What takes it back. */
  undo: string;
  level: 'refuse' | 'fail' | 'warn';
  /** What the difference names. */
  named: string;
}

const modify = (type: string, undo: string): Pick<Edit, 'sql' | 'undo' | 'level'> => ({
  sql: `ALTER TABLE event_log MODIFY ${type}`,
  undo: `ALTER TABLE event_log MODIFY ${undo}`,
  level: 'refuse',
});
const text64 = 'entity_table VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL';

/** Of every kind of definition that a schema can hold: one that adds it, changes it or removes it. */
const edits: Readonly<Record<string, Edit>> = {
  'an engine': {
    ...{
      sql: 'ALTER TABLE kept_payloads ENGINE = MyISAM',
      undo: 'ALTER TABLE kept_payloads ENGINE = InnoDB',
    },
    ...{ level: 'refuse', named: 'the table kept_payloads has the engine MyISAM instead of InnoDB' },
  },
  'a collation': {
    ...modify('entity_table VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL', text64),
    named: 'the column event_log.entity_table has the collation utf8mb4_general_ci instead of utf8mb4_bin',
  },
  'the collation of the subject': {
    ...modify(
      'subject VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
      'subject VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin *//*M!100600 COLLATE utf8mb4_nopad_bin */',
    ),
    named: 'event_log.subject has the collation utf8mb4_bin',
  },
  'a character set': {
    ...modify('entity_table VARCHAR(64) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL', text64),
    named: 'has the collation latin1_bin',
  },
  'a shorter type': {
    ...modify('entity_table VARCHAR(63) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL', text64),
    named: 'has the type varchar(63) instead of varchar(64)',
  },
  'a smaller number': {
    ...modify('staging SMALLINT NOT NULL DEFAULT 0', 'staging INT NOT NULL DEFAULT 0'),
    named: 'event_log.staging has the type smallint',
  },
  'an unsigned number': {
    ...modify('staging INT UNSIGNED NOT NULL DEFAULT 0', 'staging INT NOT NULL DEFAULT 0'),
    named: 'unsigned instead of int',
  },
  'a moment without milliseconds': {
    ...modify('occurred_at DATETIME NOT NULL', 'occurred_at DATETIME(3) NOT NULL'),
    named: 'has the type datetime instead of datetime(3)',
  },
  'an enum with another word': {
    sql: "ALTER TABLE delivery_log MODIFY status ENUM('open','delivered','exhausted','lost') NOT NULL DEFAULT 'open'",
    undo: "ALTER TABLE delivery_log MODIFY status ENUM('open','delivered','exhausted') NOT NULL DEFAULT 'open'",
    ...{ level: 'refuse', named: 'the column delivery_log.status has the type' },
  },
  'a column that takes NULL': {
    ...modify(text64.replace('NOT NULL', 'NULL'), text64),
    named: 'the column event_log.entity_table takes NULL',
  },
  'a default': {
    sql: "ALTER TABLE delivery_log ALTER status SET DEFAULT 'exhausted'",
    undo: "ALTER TABLE delivery_log ALTER status SET DEFAULT 'open'",
    ...{ level: 'refuse', named: 'the default of the column delivery_log.status was edited' },
  },
  'no automatic numbers': {
    sql: 'ALTER TABLE audit_log MODIFY id BIGINT NOT NULL',
    undo: 'ALTER TABLE audit_log MODIFY id BIGINT NOT NULL AUTO_INCREMENT',
    ...{ level: 'refuse', named: 'the column audit_log.id does not number rows any more' },
  },
  'the mark as a column made by the server': {
    sql: "ALTER TABLE queue DROP INDEX queue_lane, DROP COLUMN waiting, ADD COLUMN waiting TINYINT(1) GENERATED ALWAYS AS (state = 'pending') STORED, ADD INDEX queue_lane (lane, waiting, event_seq)",
    undo: "ALTER TABLE queue DROP INDEX queue_lane, DROP COLUMN waiting, ADD COLUMN waiting TINYINT(1) GENERATED ALWAYS AS (state = 'waiting') STORED, ADD INDEX queue_lane (lane, waiting, event_seq)",
    ...{ level: 'refuse', named: 'the default of the column queue.waiting was edited' },
  },
  'an invisible column': {
    ...modify('read_late JSON INVISIBLE', 'read_late JSON'),
    named: 'the column event_log.read_late is invisible',
  },
  'a dropped column': {
    sql: 'ALTER TABLE queue DROP COLUMN claimed_by',
    undo: 'ALTER TABLE queue ADD COLUMN claimed_by VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin',
    ...{ level: 'refuse', named: 'the column queue.claimed_by was dropped' },
  },
  'a renamed column': {
    sql: 'ALTER TABLE queue RENAME COLUMN claimed_by TO claimed',
    undo: 'ALTER TABLE queue RENAME COLUMN claimed TO claimed_by',
    ...{ level: 'refuse', named: 'the column queue.claimed_by was dropped' },
  },
  'an added column': {
    sql: 'ALTER TABLE queue ADD COLUMN note TEXT',
    undo: 'ALTER TABLE queue DROP COLUMN note',
    ...{ level: 'warn', named: 'the column queue.note was added' },
  },
  'an added invisible column': {
    sql: 'ALTER TABLE queue ADD COLUMN note INT INVISIBLE DEFAULT 1',
    undo: 'ALTER TABLE queue DROP COLUMN note',
    ...{ level: 'warn', named: 'the column queue.note was added' },
  },
  'an added column that every row must name': {
    sql: 'ALTER TABLE queue ADD COLUMN note INT NOT NULL',
    undo: 'ALTER TABLE queue DROP COLUMN note',
    ...{ level: 'refuse', named: 'the column queue.note was added' },
  },
  'a dropped unique index': {
    sql: 'DROP INDEX audit_log_mark ON audit_log',
    undo: 'CREATE UNIQUE INDEX audit_log_mark ON audit_log (mark)',
    ...{ level: 'refuse', named: 'the index audit_log_mark of audit_log was dropped' },
  },
  'an index that is not unique any more': {
    sql: 'ALTER TABLE event_log DROP INDEX event_log_id, ADD INDEX event_log_id (id)',
    undo: 'ALTER TABLE event_log DROP INDEX event_log_id, ADD UNIQUE INDEX event_log_id (id)',
    ...{ level: 'refuse', named: 'the index event_log_id of event_log was edited: not unique, on id' },
  },
  'an index on the beginning of a column': {
    sql: 'ALTER TABLE event_log DROP INDEX event_log_id, ADD UNIQUE INDEX event_log_id (id(30))',
    undo: 'ALTER TABLE event_log DROP INDEX event_log_id, ADD UNIQUE INDEX event_log_id (id)',
    ...{ level: 'refuse', named: 'was edited: unique, on id(30)' },
  },
  'a dropped index': {
    sql: 'DROP INDEX queue_due ON queue',
    undo: 'CREATE INDEX queue_due ON queue (state, webhook_id, due_at)',
    ...{ level: 'refuse', named: 'the index queue_due of queue was dropped' },
  },
  'a dropped primary key': {
    sql: 'ALTER TABLE kept_payloads DROP PRIMARY KEY',
    undo: 'ALTER TABLE kept_payloads ADD PRIMARY KEY (event_seq)',
    ...{ level: 'refuse', named: 'the index PRIMARY of kept_payloads was dropped' },
  },
  'another primary key': {
    sql: 'ALTER TABLE exhausted_deliveries DROP PRIMARY KEY, ADD PRIMARY KEY (attempt, delivery_id)',
    undo: 'ALTER TABLE exhausted_deliveries DROP PRIMARY KEY, ADD PRIMARY KEY (delivery_id, attempt)',
    ...{ level: 'refuse', named: 'the index PRIMARY of exhausted_deliveries was edited' },
  },
  'an added index': {
    sql: 'CREATE INDEX ours ON event_log (type)',
    undo: 'DROP INDEX ours ON event_log',
    ...{ level: 'warn', named: 'the index ours of event_log was added' },
  },
  'an added unique index': {
    sql: 'CREATE UNIQUE INDEX ours ON queue (event_seq)',
    undo: 'DROP INDEX ours ON queue',
    ...{ level: 'refuse', named: 'the index ours of queue was added: unique' },
  },
  partitions: {
    sql: 'ALTER TABLE kept_payloads PARTITION BY HASH (event_seq) PARTITIONS 2',
    undo: 'ALTER TABLE kept_payloads REMOVE PARTITIONING',
    ...{ level: 'refuse', named: 'the table kept_payloads is partitioned' },
  },
  'a trigger': {
    sql: 'CREATE TRIGGER hide BEFORE INSERT ON attempts FOR EACH ROW SET NEW.reason = NULL',
    undo: 'DROP TRIGGER hide',
    ...{ level: 'refuse', named: 'the table attempts has a trigger, hide' },
  },
  'a scheduled event': {
    sql: 'CREATE EVENT hide ON SCHEDULE EVERY 1 YEAR DISABLE DO DELETE FROM queue',
    undo: 'DROP EVENT hide',
    ...{ level: 'refuse', named: 'a scheduled event, hide' },
  },
  'a foreign key': {
    sql: 'ALTER TABLE kept_payloads ADD CONSTRAINT hide FOREIGN KEY (event_seq) REFERENCES event_log (seq) ON DELETE CASCADE',
    undo: 'ALTER TABLE kept_payloads DROP FOREIGN KEY hide',
    ...{ level: 'refuse', named: 'kept_payloads has a foreign key, hide' },
  },
  'a check': {
    sql: 'ALTER TABLE queue ADD CONSTRAINT hide CHECK (attempt < 5)',
    undo: 'ALTER TABLE queue DROP CONSTRAINT hide',
    ...{ level: 'refuse', named: 'the table queue has a check, hide' },
  },
  'a procedure': {
    sql: 'CREATE PROCEDURE hide() DELETE FROM queue',
    undo: 'DROP PROCEDURE hide',
    ...{ level: 'warn', named: 'a routine, hide' },
  },
  'a function': {
    sql: 'CREATE FUNCTION hide() RETURNS INT DETERMINISTIC NO SQL RETURN 1',
    undo: 'DROP FUNCTION hide',
    ...{ level: 'warn', named: 'a routine, hide' },
  },
  'a view of another program': {
    sql: 'CREATE VIEW ours AS SELECT 1 AS one',
    undo: 'DROP VIEW ours',
    ...{ level: 'warn', named: 'a view of another program, ours' },
  },
  "an auditor's view": {
    sql: "CREATE OR REPLACE VIEW audit_acts AS SELECT id, at, actor, role, action, target, details FROM audit_log WHERE actor <> 'eva'",
    undo: 'DROP VIEW audit_acts',
    ...{ level: 'fail', named: 'the view audit_acts was edited' },
  },
  'a renamed table': {
    sql: 'RENAME TABLE kept_payloads TO kept',
    undo: 'RENAME TABLE kept TO kept_payloads',
    ...{ level: 'refuse', named: 'the table kept_payloads was dropped' },
  },
  'a view in place of a table': {
    sql: 'RENAME TABLE kept_payloads TO kept; CREATE VIEW kept_payloads AS SELECT * FROM kept',
    undo: 'DROP VIEW kept_payloads; RENAME TABLE kept TO kept_payloads',
    ...{ level: 'refuse', named: 'kept_payloads is a view' },
  },
};
/** By server. */
const ofMySql: typeof edits = {
  'an engine that keeps nothing': {
    ...{
      sql: 'ALTER TABLE kept_payloads ENGINE = BLACKHOLE',
      undo: 'ALTER TABLE kept_payloads ENGINE = InnoDB',
    },
    ...{ level: 'refuse', named: 'the table kept_payloads has the engine BLACKHOLE instead of InnoDB' },
  },
  'an index that queries do not use': {
    sql: 'ALTER TABLE queue ALTER INDEX queue_due INVISIBLE',
    undo: 'ALTER TABLE queue ALTER INDEX queue_due VISIBLE',
    ...{ level: 'refuse', named: 'the index queue_due of queue was edited' },
  },
};
const ofMariaDb: typeof edits = {
  'an index that queries do not use': {
    sql: 'ALTER TABLE queue ALTER INDEX queue_due IGNORED',
    undo: 'ALTER TABLE queue ALTER INDEX queue_due NOT IGNORED',
    ...{ level: 'refuse', named: 'the index queue_due of queue was edited' },
  },
  'old versions of rows': {
    sql: 'ALTER TABLE subject_keys ADD SYSTEM VERSIONING',
    undo: 'ALTER TABLE subject_keys DROP SYSTEM VERSIONING',
    ...{ level: 'refuse', named: 'the table subject_keys keeps old versions of its rows' },
  },
};

describe.each(servers)('edits of the definition of the store, on %s', (variant) => {
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(variant);
    const actor = { name: 'ana', role: 'admin' as const };
    await recordAct(test.store, test.vault.cipher, { actor, action: 'delivery.read', target: '1' });
    await sealOnce(test.vault);
  });
  afterAll(() => test.close());

  it('are none after the migrations, nor with the views of an auditor', async () => {
    expect(await readSchemaDifferences(test.store)).toEqual([]);
    await prepareAuditor(test.store, { account: 'luz', withoutPayloads: false });
    expect(await readSchemaDifferences(test.store)).toEqual([]);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
  });

  const { flavour } = sharedServer(variant);
  const all = { ...edits, ...(flavour === 'mysql' ? ofMySql : ofMariaDb) };
  it.each(Object.entries(all))('%s', async (_what, { sql, undo, level, named }) => {
    await test.schema.query(sql);
    const differences = await readSchemaDifferences(test.store);
    const start = await requireSchema(test.store).then(
      () => 'begins',
      (error: unknown) => (error as { code: string }).code,
    );
    const verified = level === 'warn' ? null : await verifyLog(test.vault);
    await test.schema.query(undo);
    expect(differences).toContainEqual(
      expect.objectContaining({ level, message: expect.stringContaining(named), remedy: expect.any(String) }),
    );
    expect(start).toBe(level === 'refuse' ? 'ERR_STORE_SCHEMA' : 'begins');
    if (verified) {
      expect(verified.ok).toBe(false);
      expect(differences.map(({ message }) => message)).toContain(
        verified.flaw?.message.split(' (remedy: ')[0],
      );
    }
    expect(await readSchemaDifferences(test.store)).toEqual([]);
  });

  it('are not what an application has in the same schema for itself', async () => {
    await test.schema.query(
      `CREATE TABLE theirs (id INT PRIMARY KEY, parent INT, CHECK (parent > 0), FOREIGN KEY (parent) REFERENCES theirs (id));
       CREATE TRIGGER their_trigger BEFORE INSERT ON theirs FOR EACH ROW SET NEW.parent = 1;
       CREATE EVENT their_event ON SCHEDULE EVERY 1 YEAR DISABLE DO DELETE FROM theirs`,
    );
    const start = requireSchema(test.store);
    await expect(start).resolves.toBeUndefined();
    await test.schema.query('CREATE EVENT hide ON SCHEDULE EVERY 1 YEAR DISABLE DO DELETE FROM `queue`');
    await expect(requireSchema(test.store)).rejects.toThrow('a scheduled event, hide');
    await test.schema.query('DROP EVENT hide; DROP EVENT their_event; DROP TABLE theirs');
  });

  it('is taken back by the remedy of each difference of a column or an index', async () => {
    await test.schema.query(
      `ALTER TABLE event_log MODIFY occurred_at DATETIME, MODIFY subject VARCHAR(99), DROP INDEX event_log_id;
       ALTER TABLE queue DROP INDEX queue_lane, MODIFY claimed_at DATETIME NOT NULL, MODIFY attempt BIGINT;
       ALTER TABLE delivery_log MODIFY status VARCHAR(20), MODIFY reserve INT DEFAULT 5`,
    );
    const differences = await readSchemaDifferences(test.store);
    for (const remedy of new Set(differences.map((difference) => difference.remedy.split(' Then run ')[0]!)))
      await test.schema.query(remedy);
    expect(await readSchemaDifferences(test.store)).toEqual([]);
  });
});
