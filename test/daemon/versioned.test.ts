import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { modes } from '../binlog/modes.ts';
import { waitFor } from '../support/wait-for.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

const rules = `
events:
  cita.inserted: { table: citas, on: insert, data: { id: id, name: estado } }
  cita.updated: { table: citas, on: update, data: { id: id, name: estado } }
  cita.deleted: { table: citas, on: delete, data: { id: id, name: estado } }
  item.created: { table: items, on: insert, data: { name: name } }
`;

describe.each(modes.filter(({ flavour }) => flavour === 'mariadb'))('system versioning, on $name', (mode) => {
  let clinic: HaltingClinic;
  beforeEach(async () => {
    clinic = await startHaltingClinic(mode, rules);
  });
  afterEach(() => clinic.close());

  const events = (): string[] =>
    clinic.receiver.received.map(
      ({ event, data }) => `${event} ${String(data['id'])} ${String(data['name'])}`,
    );

  it('that is added, dropped and added again while the daemon runs invents and loses nothing', async () => {
    await clinic.schema.query(
      "CREATE TABLE citas (id INT PRIMARY KEY, estado VARCHAR(20)); INSERT INTO citas VALUES (1,'a'),(2,'b'),(3,'c')",
    );
    await clinic.start();
    await clinic.untilReady();
    await clinic.schema.query(
      "ALTER TABLE citas ADD SYSTEM VERSIONING; UPDATE citas SET estado='x' WHERE id=1; DELETE FROM citas WHERE id=2;" +
        " ALTER TABLE citas DROP SYSTEM VERSIONING; UPDATE citas SET estado='y' WHERE id=1;" +
        " ALTER TABLE citas ADD SYSTEM VERSIONING; UPDATE citas SET estado='z' WHERE id=3; INSERT INTO citas VALUES (4,'d')",
    );
    // The second reader compares these rows beside capture: its answer comes before the next item does.
    await clinic.create('after');
    await clinic.untilDelivered('after');
    await waitFor(() => events().length >= 6, { what: 'the events of all rows' });
    await clinic.untilReady();
    // Of one row in order; rows do not wait for each other.
    expect(events().filter((event) => event.includes(' 1 '))).toEqual([
      'cita.updated 1 x',
      'cita.updated 1 y',
    ]);
    expect(events().toSorted()).toEqual([
      'cita.deleted 2 b',
      'cita.inserted 4 d',
      'cita.updated 1 x',
      'cita.updated 1 y',
      'cita.updated 3 z',
      'item.created undefined after',
    ]);
  });

  it('drops partitions of its history without a halt', async () => {
    await clinic.schema.query(
      'CREATE TABLE citas (id INT PRIMARY KEY, estado VARCHAR(20)) WITH SYSTEM VERSIONING' +
        ' PARTITION BY SYSTEM_TIME LIMIT 1000 (PARTITION p0 HISTORY, PARTITION p1 HISTORY, PARTITION pn CURRENT)',
    );
    await clinic.start();
    await clinic.untilReady();
    await clinic.schema.query(
      "INSERT INTO citas VALUES (1,'a'); ALTER TABLE citas DROP PARTITION p0; INSERT INTO citas VALUES (2,'b')",
    );
    await waitFor(() => events().length === 2, { what: 'the row behind the statement' });
    expect(events()).toEqual(['cita.inserted 1 a', 'cita.inserted 2 b']);
  });
});
