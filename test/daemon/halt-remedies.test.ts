import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { rowOp } from '../../src/binlog/decode/read-rows.ts';
import type { HaltReason } from '../../src/binlog/halt.ts';
import { runSecondReader } from '../../src/binlog/second-reader/second-reader.ts';
import type { Flavour } from '../../src/demo/server-binaries.ts';
import type { InstallationStatus } from '../../src/daemon/status.ts';
import { modes } from '../binlog/modes.ts';
import { withFault } from '../binlog/second-reader/compare-log.ts';
import { startAlteringProxy, type AlteringProxy } from '../support/altering-proxy.ts';
import { callCli } from '../support/call-cli.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { itemsTable, startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

const rules = `
missing: warn
events:
  item.created: { table: items, on: insert, data: { name: name, label: label } }
  item.moved: { table: items, on: update, when: { qty: { changes: true } }, data: { name: name, qty: qty, doc: doc } }
`;

/** What a halt is provoked on. */
interface Scene {
  clinic: HaltingClinic;
  schema: TestSchema;
  flavour: Flavour;
  /** Another server of the same kind. */
  other: TestSchema;
}

interface Case {
  name: string;
  /** The daemon is stopped meanwhile. */
  down?: true;
  /** A first run. */
  first?: true;
  provoke(scene: Scene): Promise<unknown>;
  /** The daemon reads the other server after that. */
  moves?: true;
  /** Changes events between server and daemon, where no server writes what is needed. */
  alter?(event: Buffer): void;
  seams?: Parameters<HaltingClinic['start']>[1];
  /** Which of the ways that the remedy names is taken; the last one unless it is given. */
  way?: number;
  /** The tables are gone, until the remedy says that they are put back from a backup. */
  putBack?(scene: Scene): Promise<unknown>;
  /** `resume` cannot connect before the remedy is followed: it says the same. */
  refusesResume?: true;
  /** Items that are delivered besides those before and after. */
  delivered?: readonly string[];
  /** The item after the provocation is not captured, or is given up too. */
  losesAfter?: true;
  /** Items whose loss is accepted. */
  lost?: readonly string[];
}

/** Or why the reason cannot arise on this kind of server. */
type Cases = readonly Case[] | { impossible: string };

const run =
  (...statements: readonly string[]) =>
  async ({ schema }: Scene): Promise<void> => {
    for (const statement of statements) await schema.query(statement);
  };

const both = (...cases: readonly Case[]): Record<Flavour, Cases> => ({ mysql: cases, mariadb: cases });

const reset = ({ schema, flavour }: Scene): Promise<unknown> =>
  schema.query(flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');

/** As a backup restores it: the transactions are known, the log files are others. */
async function restore(scene: Scene): Promise<void> {
  const { schema, clinic, flavour } = scene;
  const [row] = await schema.query(`SELECT gtid FROM ${clinic.storeName}.checkpoint`);
  await reset(scene);
  const variable = flavour === 'mysql' ? 'gtid_purged' : 'gtid_binlog_state';
  await schema.query(`SET GLOBAL ${variable} = ?`, [row!['gtid']]);
}

/** Moves the checkpoint by SQL to the end of the log, past a change. */
const skipByEdit: Case['provoke'] = async ({ schema, clinic, flavour }) => {
  await schema.query(insert('skipped by an edit'));
  const [end] = await schema.query(flavour === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
  const gtid = flavour === 'mysql' ? '@@gtid_executed' : '@@gtid_binlog_pos';
  const edit = `UPDATE ${clinic.storeName}.checkpoint SET gtid = ${gtid}, file = ?, \`offset\` = ?`;
  await schema.query(edit, [end!['File'], end!['Position']]);
};

const largeDocument = "JSON_QUOTE(REPEAT('x', 1200000))";

/** Leaves the store's server with a limit of 1 MiB, and a change whose event is larger. */
const outgrow: Case['provoke'] = async ({ schema, clinic }) => {
  const large = await schema.connect();
  await schema.query('SET GLOBAL max_allowed_packet = 1048576');
  await clinic.stop();
  await clinic.start();
  await large.query(
    `INSERT INTO items (name, doc) VALUES ('large', ${largeDocument}); UPDATE items SET qty = 1 WHERE name = 'large'`,
  );
};

/** Alters the rows event that holds a text. */
const alterRows =
  (text: string, alter: (event: Buffer) => void): NonNullable<Case['alter']> =>
  (event) => {
    if (rowOp(event[4]!) && event.includes(text)) alter(event);
  };

const insert = (name: string): string => `INSERT INTO items (name) VALUES ('${name}')`;

/** Every reason for each kind of server: a new one does not compile without its cases. */
const reasons: Readonly<Record<HaltReason, Record<Flavour, Cases>>> = {
  'decoder-difference': both({
    name: 'a difference between the decoder and zongji',
    first: true,
    losesAfter: true,
    provoke: run(),
    seams: {
      compare: (job, limits) =>
        runSecondReader(
          withFault(job, 'name', (cell) => `${String(cell)}x`),
          limits,
        ),
    },
  }),
  'partial-json': {
    mysql: [
      {
        name: 'a partial JSON update',
        provoke: run(
          "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
          `INSERT INTO items (name, doc) VALUES ('json', '{"a": "0123456789", "b": 1}')`,
          "UPDATE items SET doc = JSON_SET(doc, '$.b', 2), qty = 1 WHERE name = 'json'",
          "SET SESSION binlog_row_value_options = ''",
        ),
        delivered: ['json'],
      },
    ],
    mariadb: { impossible: 'MariaDB logs JSON values whole.' },
  },
  'statement-format': both({
    name: 'a change logged as a statement',
    provoke: run(
      "SET SESSION binlog_format = 'STATEMENT'",
      insert('statement'),
      "SET SESSION binlog_format = 'ROW'",
    ),
    lost: ['statement'],
  }),
  'unknown-statement': both({
    name: 'a statement of a kind that is not known',
    alter(event) {
      const at = event.indexOf("ALTER TABLE items COMMENT = 'unknown'");
      if (at > 0) event.write('HELLO', at);
    },
    provoke: run("ALTER TABLE items COMMENT = 'unknown'"),
  }),
  truncate: both(
    { name: 'TRUNCATE', provoke: run('TRUNCATE TABLE items') },
    {
      name: 'DROP DATABASE',
      provoke: ({ schema }) => schema.query(`DROP DATABASE ${schema.name}`),
      losesAfter: true,
      refusesResume: true,
      putBack: ({ schema }) => schema.query(`USE ${schema.name}; ${itemsTable}`),
    },
  ),
  'absent-columns': both({
    name: 'absent columns of a row that is gone',
    down: true,
    provoke: run(
      insert('gone'),
      "SET SESSION binlog_row_image = 'MINIMAL'",
      "UPDATE items SET qty = qty + 1 WHERE name = 'gone'",
      "SET SESSION binlog_row_image = 'FULL'",
      "DELETE FROM items WHERE name = 'gone'",
    ),
    delivered: ['gone'],
  }),
  'metadata-missing': both({
    name: 'a log without column names',
    provoke: run("SET GLOBAL binlog_row_metadata = 'MINIMAL'", insert('nameless')),
    losesAfter: true,
    lost: ['nameless'],
  }),
  'column-changed': both(
    {
      name: 'a column that another one took the place of',
      provoke: run('ALTER TABLE items DROP COLUMN label, ADD COLUMN label VARCHAR(40)'),
    },
    {
      name: 'columns that changed their names with each other',
      provoke: run(
        'ALTER TABLE items RENAME COLUMN label TO swapped',
        'ALTER TABLE items RENAME COLUMN note TO label',
        'ALTER TABLE items RENAME COLUMN swapped TO note',
      ),
    },
    {
      name: 'a column whose values were truncated',
      provoke: run(
        "SET SESSION sql_mode = ''",
        'ALTER TABLE items MODIFY name VARCHAR(2)',
        'SET SESSION sql_mode = DEFAULT',
        'ALTER TABLE items MODIFY name VARCHAR(100)',
      ),
    },
    { name: 'a column that was dropped', provoke: run('ALTER TABLE items DROP COLUMN label') },
    {
      name: 'a column that was retyped',
      provoke: run("ALTER TABLE items MODIFY qty VARCHAR(20) NOT NULL DEFAULT '0'"),
    },
  ),
  'unsupported-type': {
    mysql: { impossible: 'Every type and character set of MySQL up to 9.7 is decoded.' },
    mariadb: [
      {
        name: 'a column in the format before MariaDB 10.1',
        provoke: run(
          'SET GLOBAL mysql56_temporal_format = OFF; ALTER TABLE items ADD COLUMN seen_at DATETIME; SET GLOBAL mysql56_temporal_format = ON',
          "INSERT INTO items (name, seen_at) VALUES ('old format', '2026-03-07 15:30:00')",
        ),
      },
    ],
  },
  'unknown-event': both({
    name: 'an event of a type that is not known',
    alter: alterRows('of type 99', (event) => (event[4] = 99)),
    provoke: run(insert('of type 99')),
    lost: ['of type 99'],
  }),
  incident: both({
    name: 'an incident',
    async provoke({ schema }) {
      // A statement that cannot be undone and does not fit into its cache is not logged; the log gets an incident in its place.
      await schema.query(
        'CREATE TABLE loose (text LONGTEXT) ENGINE = MyISAM; SET GLOBAL max_binlog_stmt_cache_size = 4096, GLOBAL binlog_stmt_cache_size = 4096',
      );
      const writer = await schema.connect();
      const refused = writer.query("INSERT INTO loose VALUES (REPEAT('x', 100000)), (REPEAT('x', 100000))");
      await expect(refused).rejects.toThrow('max_binlog_stmt_cache_size');
    },
  }),
  'xa-transaction': both({
    name: 'an XA transaction that was prepared in a purged part of the log',
    async provoke({ clinic, schema }) {
      const branch = await schema.connect();
      await branch.query(`XA START 'x'; ${insert('prepared')}; XA END 'x'; XA PREPARE 'x'`);
      await branch.end();
      await schema.query('FLUSH BINARY LOGS');
      await clinic.create('behind the prepared');
      await clinic.untilDelivered('behind the prepared');
      await clinic.stop();
      await purgeLogs((sql) => schema.query(sql));
      await schema.query("XA COMMIT 'x'");
      await clinic.start();
    },
    delivered: ['behind the prepared'],
    lost: ['prepared'],
  }),
  undecodable: both({
    name: 'rows without their table map',
    alter: alterRows('damaged', (event) => event.writeUIntLE(0x123456789a, 19, 6)),
    provoke: run(insert('damaged')),
    lost: ['damaged'],
  }),
  'event-too-large': both(
    { name: 'an event that the store takes once its limit is raised', provoke: outgrow, way: 0 },
    { name: 'an event that is too large for the store', provoke: outgrow },
  ),
  purged: both({
    name: 'a log that was purged before it was read',
    down: true,
    async provoke({ clinic, schema }) {
      await clinic.create('in the purged file');
      await schema.query('FLUSH BINARY LOGS');
      await purgeLogs((sql) => schema.query(sql));
    },
    lost: ['in the purged file'],
  }),
  'ahead-of-source': both({ name: 'a log that was reset', down: true, provoke: reset }),
  diverged: both({ name: 'a server that was restored from a backup', down: true, provoke: restore }),
  'checkpoint-edited': both({
    name: 'a checkpoint that was moved by SQL',
    down: true,
    provoke: skipByEdit,
    lost: ['skipped by an edit'],
  }),
  'foreign-server': both({
    name: 'another server',
    down: true,
    provoke: run(insert('at the first server')),
    moves: true,
    losesAfter: true,
    lost: ['at the first server'],
  }),
};

const casesOf = (flavour: Flavour): (Case & { reason: HaltReason })[] =>
  Object.entries(reasons).flatMap(([reason, { [flavour]: cases }]) =>
    'impossible' in cases ? [] : cases.map((each) => ({ ...each, reason: reason as HaltReason })),
  );

const isCommand = (line: string): boolean => line.startsWith('odontology-webhooks ');
const isStatement = (line: string): boolean => /^(SET|ALTER|CREATE) [^;]+;$/.test(line);
/** On a line below its statement; clients leave comments out. */
const isComment = (line: string): boolean => /^-- and under \[mysqld\] in my\.cnf: \S+ = \S+$/.test(line);

/** The ways out that a remedy names, each as its lines. */
function waysOf(remedy: string): string[][] {
  const ways: string[][] = [[]];
  for (const line of remedy.split('\n')) {
    if (line.startsWith('Or ')) ways.push([]);
    ways.at(-1)!.push(line);
    if (isCommand(line) || isStatement(line) || isComment(line)) continue;
    // A sentence. What can be pasted stands on a line of its own.
    expect(line).toMatch(/^[A-Z].*[.:]$/);
    expect(line).not.toMatch(/odontology-webhooks (resume|check|status)|;|SET |ALTER /);
  }
  return ways;
}

const oneOfEach = modes.filter(({ variant, gtid }) => gtid && flavours.some((each) => each === variant));

describe.each(oneOfEach)('the remedy that a halt prints, on $name', { timeout: 90_000 }, (mode) => {
  let scene: Scene;
  let proxy: AlteringProxy;
  let alter: Case['alter'];
  let ended = true;
  let shell: string;
  beforeAll(async () => {
    const clinic = await startHaltingClinic(mode, rules);
    const other = await createSchema(sharedServer(mode.variant), itemsTable);
    scene = { clinic, other, schema: clinic.schema, flavour: mode.flavour };
    proxy = await startAlteringProxy(clinic.server, (event) => alter?.(event));
    // A shell finds the command here; it gives back what it was called with.
    shell = dirname(clinic.configFile);
    await writeFile(
      join(shell, 'odontology-webhooks'),
      String.raw`#!/bin/sh
printf '%s\0' "$@"`,
      { mode: 0o755 },
    );
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await scene.clinic.close();
    await proxy.stop();
    await scene.other.drop();
  });

  const wordsOf = (line: string): string[] =>
    execFileSync('sh', ['-c', line], { env: { PATH: `${shell}:/usr/bin:/bin` }, encoding: 'utf8' })
      .split('\0')
      .slice(0, -1);

  const call = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await callCli(...words, '--config', scene.clinic.configFile);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    return stdout;
  };

  const haltOnRecord = async (): Promise<InstallationStatus['capture']['halt']> =>
    (JSON.parse(await call('status', '--json')) as InstallationStatus).capture.halt;

  async function follow(line: string): Promise<void> {
    // The command asks a person first.
    if (isCommand(line)) await call(...wordsOf(line), '--yes');
    else if (isStatement(line)) await scene.schema.query(line);
  }

  it.each(casesOf(mode.flavour))('ends $reason: $name', async (each) => {
    const { clinic, schema, other } = scene;
    const [before, after, later] = ['before', 'after', 'later'].map((word) => `${word} ${each.name}`);
    const create = (name: string): Promise<unknown> =>
      (each.moves ? other : schema).query('INSERT INTO items (name) VALUES (?)', [name]);
    ({ alter } = each);
    await clinic.stop();
    // A case that failed leaves its halt behind.
    if (each.first || !ended) clinic.forget();
    ended = false;
    const url = each.alter ? proxy.through(schema.url()) : schema.url();
    const movedUrl = each.moves ? other.url() : url;
    for (const [name, value] of Object.entries(clinic.env(movedUrl))) vi.stubEnv(name, value);
    if (!each.first) {
      await clinic.start(url);
      await clinic.untilReady();
      await clinic.create(before!);
      await clinic.untilDelivered(before!);
      if (each.down) await clinic.stop();
    }
    await each.provoke(scene);
    if (!each.putBack) await create(after!);
    await clinic.start(movedUrl, each.seams);
    await clinic.untilHalted(each.reason);
    expect(clinic.delivered()).not.toContain(after);

    const halt = await haltOnRecord();
    expect(halt!.reason).toBe(each.reason);
    if (each.refusesResume) {
      const args = ['--accept-gap', '--reason', 'too early', '--yes', '--config', clinic.configFile];
      const { code, stderr } = await callCli('resume', ...args);
      expect(code).toBe(1);
      expect(stderr).toContain(`ERR_SOURCE_ACCESS`);
      expect(stderr).toContain(`Remedy: ${halt!.remedy}\n`);
    }
    const way = waysOf(halt!.remedy).at(each.way ?? -1)!;
    for (const line of way) {
      await follow(line);
      if (line.startsWith('Put the tables back')) await each.putBack!(scene);
    }

    await clinic.untilReady();
    await create(later!);
    await clinic.untilDelivered(...(each.delivered ?? []), ...(each.losesAfter ? [] : [after!]), later!);
    expect(await haltOnRecord()).toBeNull();
    expect(each.lost?.filter((name) => clinic.delivered().includes(name)) ?? []).toEqual([]);
    ended = true;
  });
});
