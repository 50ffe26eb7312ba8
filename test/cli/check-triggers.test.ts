import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPrivateServer } from '../../src/demo/private-server.ts';
import type { Flavour } from '../../src/demo/server-binaries.ts';
import { runCli, writeConfig } from '../support/daemon.ts';
import {
  createSchema,
  createUser,
  sharedServer,
  type SharedServer,
  type TestSchema,
} from '../support/server.ts';

/** The servers that leave cascades to InnoDB. */
const silentServers: { name: string; flavour: Flavour; settings: string[] }[] = [
  { name: 'MySQL with native keys', flavour: 'mysql', settings: ['innodb_native_foreign_keys=ON'] },
  { name: 'MariaDB', flavour: 'mariadb', settings: [] },
];

const long = 'l'.repeat(64);
const tables = (other: string): string => `
  CREATE TABLE ${other}.owners (id INT, no INT, PRIMARY KEY (id, no));
  CREATE TABLE \`odd \`\`p\` (\`i d\` VARCHAR(10) PRIMARY KEY, note INT);
  CREATE TABLE \`${long}\` (id INT PRIMARY KEY, \`p \`\`k\` VARCHAR(10), owner INT, owner_no INT, up INT,
    CONSTRAINT a FOREIGN KEY (\`p \`\`k\`) REFERENCES \`odd \`\`p\` (\`i d\`) ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT b FOREIGN KEY (owner, owner_no) REFERENCES ${other}.owners (id, no) ON DELETE SET NULL,
    CONSTRAINT c FOREIGN KEY (up) REFERENCES \`${long}\` (id) ON DELETE CASCADE);
  CREATE TABLE chicken (id INT PRIMARY KEY, egg INT);
  CREATE TABLE egg (id INT PRIMARY KEY, chicken INT, CONSTRAINT d FOREIGN KEY (chicken) REFERENCES chicken (id) ON DELETE CASCADE);
  ALTER TABLE chicken ADD CONSTRAINT e FOREIGN KEY (egg) REFERENCES egg (id) ON DELETE SET NULL;
  CREATE TABLE plain (id INT PRIMARY KEY, egg INT, CONSTRAINT f FOREIGN KEY (egg) REFERENCES egg (id));
  CREATE TABLE log (what VARCHAR(20));
  CREATE TRIGGER theirs BEFORE DELETE ON \`odd \`\`p\` FOR EACH ROW INSERT INTO log VALUES ('theirs');
  INSERT INTO \`odd \`\`p\` VALUES ('x', 0), ('y', 0);
  INSERT INTO ${other}.owners VALUES (1, 1), (1, 2);
  INSERT INTO \`${long}\` VALUES (1, 'x', 1, 1, NULL), (2, 'y', 1, 2, 1);
  INSERT INTO chicken VALUES (1, NULL); INSERT INTO egg VALUES (1, 1)`;

describe.each(silentServers)('check --triggers on $name', ({ flavour, settings }) => {
  let server: SharedServer;
  let giveBack = (): Promise<void> => Promise.resolve();
  let schema: TestSchema;
  let other: TestSchema;
  let config: Awaited<ReturnType<typeof writeConfig>>;
  let account: Awaited<ReturnType<typeof createUser>>;
  beforeAll(async () => {
    server = sharedServer(flavour);
    if (settings.length > 0) {
      const own = await startPrivateServer({ flavour, settings });
      server = own;
      giveBack = () => own.stop();
    }
    other = await createSchema(server);
    schema = await createSchema(server, tables(other.name));
    account = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${schema.name}\`.*`,
    ]);
    config = await writeConfig(`source: { url: "${schema.url(account)}" }
rules: rules.yaml
`);
    await writeFile(
      join(config.folder, 'rules.yaml'),
      `events:
  a.gone: { table: "${long}", on: delete, data: { id: id } }
  b.gone: { table: egg, on: delete, data: { id: id } }
  c.gone: { table: chicken, on: delete, data: { id: id } }
`,
    );
  });
  afterAll(async () => {
    await account.drop();
    await schema.drop();
    await other.drop();
    await config.remove();
    await giveBack();
  });

  const check = (...args: string[]) => runCli(['check', ...args, '--config', config.file]);
  const triggersOf = async (): Promise<string[]> =>
    (
      await schema.query(
        'SELECT CONCAT(event_object_schema, ".", event_object_table, " ", trigger_name) AS name FROM information_schema.triggers WHERE trigger_schema IN (?, ?) ORDER BY 1',
        [schema.name, other.name],
      )
    ).map((row) => String(row['name']));
  const reverseOf = (script: string): string[] => script.match(/(?<=^-- )DROP TRIGGER .*;$/gm) ?? [];

  it('prints a script that does what the keys do, and its reverse', async () => {
    const before = await triggersOf();
    const { code, stdout: script, stderr } = await check('--triggers');
    expect([code, stderr]).toEqual([0, '']);
    expect(await triggersOf()).toEqual(before);
    expect(script.match(/^CREATE TRIGGER/gm)).toHaveLength(2);
    expect(script.split('\n').every((line) => /^(--|CREATE TRIGGER| {2}(DELETE|UPDATE)|$)/.test(line))).toBe(
      true,
    );
    const uncovered = script.slice(script.indexOf('Not covered'), script.indexOf('Reverse'));
    expect(uncovered.match(/error 1442/g)).toHaveLength(3);
    expect(uncovered).toContain(`${long}.p \`k changes with the key of odd \`p`);

    await schema.query(script);
    expect(await triggersOf()).toHaveLength(before.length + 2);
    await schema.query(`DELETE FROM \`odd \`\`p\` WHERE \`i d\` = 'y'; DELETE FROM ${other.name}.owners`);
    const rows = await schema.query(`SELECT id, owner, owner_no AS no FROM \`${long}\``);
    expect(rows).toEqual([{ id: 1, owner: null, no: null }]);
    expect(await schema.query('SELECT what FROM log')).toEqual([{ what: 'theirs' }]);

    const again = (await check('--triggers')).stdout;
    expect(again).not.toMatch(/^CREATE/m);
    expect(reverseOf(again)).toEqual(reverseOf(script));
    for (const statement of reverseOf(script)) await schema.query(statement);
    expect(await triggersOf()).toEqual(before);
    expect((await check('--triggers')).stdout).toBe(script);
  });

  it('is named by check, in a line', async () => {
    const { stdout } = await check();
    const line = stdout.split('\n').find((each) => each.includes('Cascades of foreign keys'))!;
    expect(line).toContain('Not logged: ');
    const json = JSON.parse((await check('--triggers', '--json')).stdout) as object;
    expect(json).toMatchObject({ needed: true, schema: schema.name });
  });

  it('exits 1 where the source cannot be asked', async () => {
    const wrong = await writeConfig('source: { url: "mysql://stranger:x@127.0.0.1:1/clinic" }\n');
    const { code, stdout } = await runCli(['check', '--triggers', '--config', wrong.file]);
    await wrong.remove();
    expect([code, stdout]).toEqual([1, '']);
  });
});
