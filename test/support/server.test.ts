import { expect, it } from 'vitest';
import { createSchema, flavours, sharedServer } from './server.ts';
import { waitFor } from './wait-for.ts';

it.each(flavours)(
  'the list of sessions is readable whatever their statements hold, on %s',
  async (flavour) => {
    const schema = await createSchema(sharedServer(flavour));
    const other = await schema.connect();
    const running = other.query("SELECT SLEEP(30), '😷'").catch(() => 'killed');
    const session = await waitFor(
      async () =>
        (await schema.sessions()).find(({ db, info }) => db === schema.name && info?.includes('SLEEP')),
      { what: 'the statement to run' },
    );
    expect(session).toMatchObject({ user: 'root', command: 'Query', info: "SELECT SLEEP(30), '😷'" });
    await schema.query(`KILL ${session.id}`);
    await running;
    await schema.drop();
  },
);

it('a global variable of a server that other tests use is left alone', async () => {
  const schema = await createSchema(sharedServer('mysql'));
  await expect(schema.query('SET GLOBAL long_query_time = 9')).rejects.toThrow('start a private one');
  await schema.drop();
});
