import { createHash, randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { runCli, startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { checkAnswer } from '../support/check-answer.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

interface Answer {
  status: number;
  text: string;
  body: Record<string, unknown>;
}

/** One running daemon: what the API changes is seen at the receiver. */
describe.each(flavours)('webhooks by the API of a running daemon on %s', (flavour) => {
  const server = sharedServer(flavour);
  const auditorToken = randomBytes(16).toString('hex');
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let store: string;

  beforeAll(async () => {
    clinic = await createSchema(server);
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    const sha256 = createHash('sha256').update(auditorToken).digest('hex');
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: clinic.url().replace(clinic.name, store),
      tokens: `{ name: luz, role: auditor, sha256: "${sha256}" }`,
      yaml: `${receiver.delivery}
webhooks: [{ name: Of the file, url: "${receiver.url}/file", events: [capture.gap], secret: ${testSecret} }]`,
    });
    await daemon.untilReady();
  });
  afterAll(async () => {
    await daemon.stop();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  async function call(method: string, path: string, body?: unknown, token = daemon.token): Promise<Answer> {
    const response = await fetch(daemon.url + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const parsed = JSON.parse(text) as Answer['body'];
    checkAnswer(method, path, response.status, parsed);
    return { status: response.status, text, body: parsed };
  }

  async function create(name: string, settings: object = {}): Promise<{ id: number; secret: string }> {
    const made = await call('POST', '/api/webhooks', {
      name,
      url: `${receiver.url}/${name}`,
      events: ['patient.created'],
      ...settings,
    });
    expect(made).toMatchObject({ status: 201, body: { success: true } });
    return made.body as { id: number; secret: string };
  }

  const sentTo = (name: string): Received[] =>
    receiver.received.filter(({ path }) => path === `/webhooks/${name}`);

  /** Commits a patient; gives the first name, by which its event is known. */
  async function addPatient(): Promise<string> {
    const name = `Prueba ${randomBytes(4).toString('hex')}`;
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (?, ?, 'Peña', 2)",
      [randomBytes(3).readUIntBE(0, 3), name],
    );
    return name;
  }

  const untilSent = (name: string, firstName: string): Promise<Received> =>
    waitFor(() => sentTo(name).find(({ body }) => body.includes(firstName)), {
      timeoutMs: 60_000,
      what: `the event at ${name}`,
    });

  /** How many of its signatures each secret verifies. */
  function verifiedBy(secret: string, { body, headers }: Received): boolean {
    try {
      new Webhook(secret).verify(body, headers as Record<string, string>);
      return true;
    } catch {
      return false;
    }
  }

  const acts = (id: number): Promise<Record<string, unknown>[]> =>
    clinic.query(
      `SELECT action, actor, role, details FROM ${store}.audit_log WHERE target = ? AND action LIKE 'webhook.%' AND action <> 'webhook.missed' ORDER BY id`,
      [String(id)],
    );

  it('makes one that is sent to at once, signed with the secret that the answer showed and nothing shows again', async () => {
    const { id, secret } = await create('made', { headers: { 'X-Key': 'k-123' }, rate_limit: '30/m' });
    expect(secret).toMatch(/^whsec_[0-9a-f]{64}$/);
    const received = await untilSent('made', await addPatient());
    expect(verifiedBy(secret, received)).toBe(true);

    const list = await call('GET', '/api/webhooks');
    const listed = (list.body['webhooks'] as { id: number }[]).find((each) => each.id === id);
    expect(listed).toMatchObject({
      id,
      name: 'made',
      url: `${receiver.url}/made`,
      events: ['patient.created'],
      is_active: true,
      managed_by: 'database',
      headers: { 'X-Key': '***' },
      rate_limit: '30/m',
      timeout: '15s',
      problems: [],
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    const one = await call('GET', `/api/webhooks/${id}`);
    expect(one.body).toEqual({ webhook: listed });
    expect(await call('GET', '/api/webhooks', undefined, auditorToken)).toMatchObject({ status: 403 });
    expect(await acts(id)).toMatchObject([{ action: 'webhook.create', actor: 'test', role: 'admin' }]);
    const said = [list.text, one.text, JSON.stringify([daemon.log, await acts(id)]), daemon.stderr()];
    expect(said.join('')).not.toContain(secret);
  });

  it('changes where events go, which, and with what, from the answer on', async () => {
    const { id } = await create('old');
    const changed = await call('PATCH', `/api/webhooks/${id}`, {
      url: `${receiver.url}/new`,
      fields: ['first_name'],
      timeout: '1500ms',
    });
    expect(changed.body).toMatchObject({
      success: true,
      webhook: { url: `${receiver.url}/new`, fields: ['first_name'], timeout: '1500ms' },
    });
    const firstName = await addPatient();
    expect((await untilSent('new', firstName)).body).toContain(`"data":{"first_name":"${firstName}"}}`);
    expect(sentTo('old').filter(({ body }) => body.includes(firstName))).toEqual([]);
    const [, act] = await acts(id);
    expect(act!['details']).toMatchObject({
      changed: ['url', 'fields', 'timeout_ms'],
      url: `${receiver.url}/new`,
    });
  });

  it('rotates with two signatures while the old secret counts, and cuts it where no overlap is asked for', async () => {
    const { id, secret } = await create('rotated');
    const own = `whsec_${randomBytes(32).toString('hex')}`;
    const rotated = await call('POST', `/api/webhooks/${id}/rotate-secret`, { secret: own, overlap: '2h' });
    expect(rotated).toMatchObject({ status: 200, body: { success: true, secret: own, overlap: '2h' } });
    const both = await untilSent('rotated', await addPatient());
    expect(String(both.headers['webhook-signature']).split(' ')).toHaveLength(2);
    expect([own, secret].map((each) => verifiedBy(each, both))).toEqual([true, true]);

    const cut = await call('POST', `/api/webhooks/${id}/rotate-secret`, { overlap: '0s' });
    const one = await untilSent('rotated', await addPatient());
    expect(String(one.headers['webhook-signature']).split(' ')).toHaveLength(1);
    expect([cut.body['secret'], own, secret].map((each) => verifiedBy(String(each), one))).toEqual([
      true,
      false,
      false,
    ]);
    expect(
      (await acts(id)).map(({ action, details }) => [action, JSON.stringify(details).includes('whsec_')]),
    ).toEqual([
      ['webhook.create', false],
      ['webhook.rotate-secret', false],
      ['webhook.rotate-secret', false],
    ]);
  });

  it('sends a test, and tells what became of it', async () => {
    const { id, secret } = await create('tried');
    expect((await call('POST', `/api/webhooks/${id}/test`)).body).toMatchObject({
      success: true,
      outcome: { kind: 'delivered', status: 204, duration_ms: expect.any(Number) },
    });
    const [received] = sentTo('tried');
    expect(received).toMatchObject({ event: 'webhook.test', data: { webhook_id: id } });
    expect(verifiedBy(secret, received!)).toBe(true);
    const answer = receiver.answer;
    receiver.answer = ({ path }) => (path.endsWith('/tried') ? 500 : 204);
    expect((await call('POST', `/api/webhooks/${id}/test`)).body).toMatchObject({
      success: false,
      outcome: { kind: 'rejected', status: 500 },
    });
    receiver.answer = answer;
    expect((await acts(id)).slice(1)).toMatchObject([{ action: 'webhook.test' }, { action: 'webhook.test' }]);
  });

  it('parks what is queued while it is disabled, and sends that first when it is enabled', async () => {
    const { id } = await create('parked');
    const [asked, disabled] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    receiver.answer = async ({ path }) => {
      if (!path.endsWith('/parked')) return 204;
      asked.resolve(undefined);
      await disabled.promise;
      return 503;
    };
    const first = await addPatient();
    await asked.promise;
    expect((await call('POST', `/api/webhooks/${id}/disable`)).body).toMatchObject({
      success: true,
      waiting: 1,
    });
    disabled.resolve(undefined);
    // Nothing is under way any more, and the next one is not for it.
    await waitFor(
      async () => sentTo('parked').length > 0 && (await queueOf(id))[0]?.['state'] === 'pending',
      {
        timeoutMs: 60_000,
      },
    );
    receiver.answer = () => 204;
    const tries = sentTo('parked').length;
    const missed = await addPatient();
    await untilSent('made', missed);
    expect(await queueOf(id)).toHaveLength(1);
    expect(sentTo('parked')).toHaveLength(tries);
    expect((await call('GET', `/api/webhooks/${id}`)).body).toMatchObject({ webhook: { is_active: false } });

    expect((await call('POST', `/api/webhooks/${id}/enable`)).body).toMatchObject({
      success: true,
      missed: 1,
    });
    const third = await addPatient();
    await untilSent('parked', third);
    const names = await waitFor(
      () => {
        const later = sentTo('parked').slice(tries);
        const came = [first, missed, third].filter((name) => later.some(({ body }) => body.includes(name)));
        return came.length > 1 && came;
      },
      { timeoutMs: 60_000 },
    );
    expect(names).toEqual([first, third]);
  });

  const queueOf = (id: number): Promise<Record<string, unknown>[]> =>
    clinic.query(`SELECT state FROM ${store}.queue WHERE webhook_id = ?`, [id]);

  it('ends one by either address, keeps its log, and does not know it afterwards', async () => {
    const { id } = await create('ended');
    await untilSent('ended', await addPatient());
    const other = await create('other');
    expect((await call('DELETE', `/api/webhooks/${id}`)).body).toEqual({ success: true });
    expect((await call('DELETE', '/api/webhooks', { id: other.id })).body).toEqual({ success: true });
    await untilSent('made', await addPatient());
    expect([sentTo('ended').length, sentTo('other').length]).toEqual([1, 0]);
    expect((await call('GET', `/api/deliveries?webhook=${id}`)).body['deliveries']).toHaveLength(1);
    for (const [method, path] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['POST', '/test'],
      ['POST', '/enable'],
      ['POST', '/disable'],
      ['POST', '/rotate-secret'],
    ] as const) {
      const body = method === 'PATCH' ? { name: 'again' } : undefined;
      expect(await call(method, `/api/webhooks/${id}${path}`, body)).toMatchObject({
        status: 404,
        body: { code: 'ERR_NOT_FOUND' },
      });
    }
  });

  it('takes a filter by a column that no rule reads, and refuses at the command line too what there is not', async () => {
    const { id } = await create('by-column', { filter: { sex: ['femenino'] } });
    expect(await call('PATCH', `/api/webhooks/${id}`, { events: ['payment.received'] })).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('filter: none of its events has "sex"') as string },
    });
    const env = {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: clinic.url().replace(clinic.name, store),
    };
    const cli = (...args: string[]) => runCli(['webhooks', ...args, '--config', daemon.configFile], env);
    const filter = (name: string): string[] => ['--filter', JSON.stringify({ [name]: ['femenino'] })];
    expect(await cli('update', String(id), ...filter('sexo'))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('filter: none of its events has "sexo"') as string,
    });
    expect(await cli('update', String(id), ...filter('sex'))).toMatchObject({ code: 0, stderr: '' });
    expect(
      await cli(
        'create',
        '--name',
        'x',
        '--url',
        receiver.url,
        '--event',
        'patient.created',
        '--field',
        'phon',
      ),
    ).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('fields: none of its events has "phon"') as string,
    });
  });

  it.each<[string, object, RegExp]>([
    [
      'an event that there is not',
      { events: ['payment.recieved'] },
      /"payment.recieved", did you mean "payment.received"/,
    ],
    ['a URL that is none', { url: 'pagos.example' }, /^url: must be a URL/],
    ['an internal address', { url: 'https://169.254.169.254/' }, /metadata/],
    ['a port that is not open', { url: 'https://93.184.215.14:22/' }, /allowed_ports/],
    ['a header that changes the request', { headers: { 'Content-Length': '5' } }, /Content-Length/],
    [
      'a field that there is not',
      { colour: 'red', evnts: [] },
      /^colour: is not a known key\nevnts: .*"events"/,
    ],
    ['a name of digits alone', { name: '77' }, /^name: is digits alone/],
    ['a secret that is too short', { secret: 'whsec_c2hvcnQ=' }, /^secret: .*at least 24/],
    [
      'a field of data that no event has',
      { events: ['payment.received'], fields: ['amout'] },
      /fields: .*"amount"/,
    ],
    [
      'a filter by what is neither a field nor a column',
      { events: ['payment.received'], filter: { amont: [5] } },
      /^filter: none of its events has "amont", did you mean "amount"/,
    ],
    [
      'nothing of what must be there',
      { name: undefined, url: undefined, events: undefined },
      /^name: is missing\nurl: is missing\nevents: is missing$/,
    ],
  ])('refuses %s, names no secret and does nothing', async (_what, body, message) => {
    const before = await clinic.query(`SELECT COUNT(*) AS n FROM ${store}.webhooks`);
    const good = { name: 'refused', url: receiver.url, events: ['*'] };
    const answer = await call('POST', '/api/webhooks', { ...good, ...body });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringMatching(message),
      remedy: expect.any(String),
    });
    expect(answer.text).not.toContain('c2hvcnQ');
    expect(await clinic.query(`SELECT COUNT(*) AS n FROM ${store}.webhooks`)).toEqual(before);
  });

  it('writes is_active as it is read, with the act of the address that has the same effect', async () => {
    const { id } = await create('switched');
    for (const isActive of [false, true]) {
      const { status, body } = await call('PATCH', `/api/webhooks/${id}`, { is_active: isActive });
      expect({ status, body }).toMatchObject({ status: 200, body: { webhook: { id, is_active: isActive } } });
    }
    const made = { name: 'asleep', url: receiver.url, events: ['*'], is_active: false };
    const { id: asleep } = (await call('POST', '/api/webhooks', made)).body as { id: number };
    expect((await call('GET', `/api/webhooks/${asleep}`)).body).toMatchObject({
      webhook: { is_active: false },
    });
    // The engine notes what it did not queue whenever it reads the table.
    const acts = await clinic.query(
      `SELECT action FROM ${store}.audit_log WHERE target = ? AND action <> 'webhook.missed' ORDER BY id`,
      [`${id}`],
    );
    expect(acts.map(({ action }) => action as string)).toEqual([
      'webhook.create',
      'webhook.disable',
      'webhook.enable',
    ]);
  });

  it('refuses to change what has an address of its own, what is not named, and what the file manages', async () => {
    const { id } = await create('kept');
    for (const body of [
      {},
      { active: false },
      { secret: testSecret },
      { is_active: 'no' },
      { colour: 'red' },
      [],
    ]) {
      expect(await call('PATCH', `/api/webhooks/${id}`, body)).toMatchObject({ status: 400 });
    }
    expect(await call('POST', `/api/webhooks/${id}/enable`, { force: true })).toMatchObject({ status: 400 });
    expect(await call('DELETE', '/api/webhooks', { id: String(id) })).toMatchObject({ status: 400 });

    const { webhooks } = (await call('GET', '/api/webhooks')).body as { webhooks: Record<string, unknown>[] };
    const file = webhooks.find(({ name }) => name === 'Of the file')!;
    expect(file).toMatchObject({ managed_by: 'file' });
    for (const [method, path, body] of [
      ['PATCH', '', { name: 'Y' }],
      ['DELETE', ''],
      ['POST', '/disable'],
      ['POST', '/rotate-secret'],
    ] as const) {
      expect(await call(method, `/api/webhooks/${file['id'] as number}${path}`, body)).toMatchObject({
        status: 409,
        body: { code: 'ERR_CONFLICT', remedy: expect.stringContaining('`webhooks`') },
      });
    }
    const taken = { name: 'OF THE file', url: receiver.url, events: ['*'] };
    expect(await call('POST', '/api/webhooks', taken)).toMatchObject({
      status: 409,
    });
    expect(await call('POST', `/api/webhooks/${file['id'] as number}/test`)).toMatchObject({ status: 200 });
  });

  it('tells what is wrong with a row that was written by SQL, and what there is to see at a glance', async () => {
    await clinic.query(
      `INSERT INTO ${store}.webhooks (name, url, events, secret) VALUES ('by hand', ?, '["patient.creatd"]', ?)`,
      [`${receiver.url}/hand`, testSecret],
    );
    const seen = await waitFor(
      async () => {
        const { webhooks } = (await call('GET', '/api/webhooks')).body as {
          webhooks: Record<string, unknown>[];
        };
        return webhooks.find(({ name, problems }) => name === 'by hand' && (problems as string[]).length > 0);
      },
      { timeoutMs: 60_000 },
    );
    expect(seen['problems']).toEqual(['there is no event "patient.creatd", did you mean "patient.created"?']);
    const unfit = [`'["${'x.'.repeat(99)}y"]'`, "'[]'", `'${JSON.stringify(Array(3_000).fill('no.event'))}'`];
    for (const [index, events] of unfit.entries()) {
      await clinic.query(
        `INSERT INTO ${store}.webhooks (name, url, events, secret) VALUES ('unfit ${index}', ?, ${events}, ?)`,
        [`${receiver.url}/unfit`, testSecret],
      );
    }
    const problemsIn = async (path: string) => {
      const { webhooks } = (await call('GET', path)).body as {
        webhooks: { name: string; problems: string[]; standing: string }[];
      };
      return webhooks
        .filter(({ name }) => name.startsWith('unfit'))
        .map(({ standing, problems }) => [standing, problems.map((text) => text.slice(0, 20))]);
    };
    const shown = [
      ['active', ['there is no event "x']],
      ['unfit', ['events cannot be rea']],
      ['unfit', ['events cannot be rea']],
    ];
    for (const path of ['/api/webhooks', '/api/status']) {
      await waitFor(async () => (await problemsIn(path)).every(([, texts]) => texts!.length === 1), {
        timeoutMs: 60_000,
        what: 'the problems',
      });
      expect(await problemsIn(path)).toEqual(shown);
    }
    const { body: metrics } = await daemon.get('/metrics');
    expect(metrics).toContain('odontology_webhooks_webhook_problems{webhook="unfit 1"} 1');
    expect(metrics).toContain('odontology_webhooks_webhook_problems{webhook="made"} 0');
    const lines = () =>
      daemon.log
        .filter(({ webhook }) => String(webhook).startsWith('unfit'))
        .filter(({ msg }) => !String(msg).includes('by SQL'));
    expect(lines()).toHaveLength(3);
    expect(JSON.stringify(lines()).length).toBeLessThan(3_000);
    await untilSent('made', await addPatient());
    await clinic.query(`DELETE FROM ${store}.webhooks WHERE name LIKE 'unfit %'`);
    expect((await call('GET', '/api/status', undefined, auditorToken)).body).toMatchObject({
      daemon: { running: 1, capturing: true },
      capture: { halt: null, position: expect.any(Object), role: 'capturing' },
      source: { behind_bytes: expect.any(Number) },
      dispatch: { in_flight: expect.any(Number) },
      webhooks: expect.arrayContaining([
        expect.objectContaining({ name: 'made', queued: 0, sending: expect.any(Number) }),
      ]),
    });
    const { events, own } = (await call('GET', '/api/events')).body as Record<string, { type: string }[]>;
    expect(events!.map(({ type }) => type)).toContain('inventory.low_stock');
    expect(own!.map(({ type }) => type)).toContain('webhook.disabled');
  });

  it('answers as it describes, of what a daemon at work has', async () => {
    await create('described', { fields: ['patient_id'], filter: { branch_id: [2] }, rate_limit: '30/m' });
    await addPatient();
    await untilSent('described', '"patient_id"');
    const [delivery] = (await call('GET', '/api/deliveries?status=delivered')).body['deliveries'] as {
      id: number;
    }[];
    for (const path of [
      'status',
      'events',
      'me',
      'audit',
      'webhooks',
      'replays',
      `deliveries/${delivery!.id}`,
    ]) {
      // `call` compares with the document.
      expect((await call('GET', `/api/${path}`)).status).toBe(200);
    }
    const { body } = await call('GET', '/api/status');
    expect(body).toMatchObject({ capture: { role: 'capturing' }, daemon: { running: 1, capturing: true } });
  });

  it('reaches the daemon that captures when it was made through another one, with its edits and its end', async () => {
    const standby = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: clinic.url().replace(clinic.name, store),
      yaml: `${receiver.delivery}
webhooks: [{ name: Of the file, url: "${receiver.url}/file", events: [capture.gap], secret: ${testSecret} }]`,
    });
    const ask = async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
      const response = await fetch(standby.url + path, {
        method,
        headers: {
          authorization: `Bearer ${standby.token}`,
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
      });
      expect(response.ok).toBe(true);
      return (await response.json()) as Record<string, unknown>;
    };
    /** Commits patients until an event of one arrives at this address. */
    const untilOneIsSent = (name: string): Promise<unknown> =>
      waitFor(
        async () => {
          const firstName = await addPatient();
          return waitFor(() => sentTo(name).some(({ body }) => body.includes(firstName)), {
            timeoutMs: 1_000,
            what: `a patient at ${name}`,
          }).catch(() => false);
        },
        { timeoutMs: 60_000, what: `an event at ${name}` },
      );
    try {
      expect((await standby.get('/metrics')).body).toContain('odontology_webhooks_capturing 0');
      const settings = { name: 'elsewhere', url: `${receiver.url}/elsewhere`, events: ['patient.created'] };
      const { id } = await ask('POST', '/api/webhooks', settings);
      await untilOneIsSent('elsewhere');
      await ask('PATCH', `/api/webhooks/${Number(id)}`, { url: `${receiver.url}/moved` });
      await untilOneIsSent('moved');
      await ask('DELETE', `/api/webhooks/${Number(id)}`);
      // Known to be over by another one that was made after it.
      await ask('POST', '/api/webhooks', { ...settings, name: 'later', url: `${receiver.url}/later` });
      await untilOneIsSent('later');
      const firstName = await addPatient();
      await untilSent('later', firstName);
      expect(sentTo('moved').filter(({ body }) => body.includes(firstName))).toEqual([]);
    } finally {
      await standby.stop();
    }
  });
});
