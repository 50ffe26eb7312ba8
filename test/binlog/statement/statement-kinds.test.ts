import { describe, expect, it } from 'vitest';
import { kindOfCounter } from '../../../src/binlog/statement/statement-kinds.ts';
import { createSchema, sharedServer } from '../../support/server.ts';

describe.each(['mysql', 'mariadb', 'mariadb-11.8'] as const)('the kinds of statements of %s', (variant) => {
  it('have an entry for each that the server counts', async () => {
    const schema = await createSchema(sharedServer(variant));
    const counters = await schema.query("SHOW GLOBAL STATUS LIKE 'Com\\_%'");
    await schema.drop();
    const names = counters.map((row) => String(row['Variable_name']).slice('Com_'.length));
    expect(names.length).toBeGreaterThan(140);
    expect(names.filter((name) => kindOfCounter(name) === undefined)).toEqual([]);
  });
});
