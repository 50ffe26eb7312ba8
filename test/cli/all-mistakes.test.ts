import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { callCli } from '../support/call-cli.ts';
import { runCli, writeConfig } from '../support/daemon.ts';
import { createSchema, createUser, sharedServer, type TestSchema, type TestUser } from '../support/server.ts';

type Values = Record<string, unknown>;

/** The configuration as a value: JSON is YAML. */
interface Written {
  config: {
    source: Values;
    store: Values;
    delivery: Values;
    retention: Values;
    http: { listen: string; tokens: Values[] };
    webhooks: Values[];
    rules?: string;
    [other: string]: unknown;
  };
  /** The rules file; unused without an event. */
  rules: { events: Record<string, unknown>; [other: string]: unknown };
}

interface Kind {
  name: string;
  make(written: Written): void;
  /** What is printed of it, with its remedy. */
  shown: RegExp;
  /** The part that it makes unknown: what cannot be judged then. */
  hides?: 'schema' | 'rules';
  /** What it needs to be judged. */
  needs?: 'schema' | 'rules';
  /** Of two kinds with the same place, one file can have only one. */
  place?: string;
}

const good = 'https://93.184.215.14/hook';
const webhook = (name: string, values: Values = {}): Values => ({
  name,
  url: good,
  events: ['payment.received'],
  secret: '${env:SECRET}',
  ...values,
});
const ofWebhook = (name: string, values: Values, shown: RegExp, more: Partial<Kind> = {}): Kind => ({
  name,
  shown,
  make: ({ config }) => void config.webhooks.push(webhook(name, values)),
  ...more,
});
/** The same mistakes again, each beside others in one webhook. */
const inOneWebhook = (key: string, value: unknown, shown: RegExp, more: Partial<Kind> = {}): Kind => ({
  name: `${key} of a webhook with other mistakes`,
  shown,
  place: key,
  make({ config }) {
    const shared = config.webhooks.find(({ name }) => name === 'shared');
    if (shared) shared[key] = value;
    else config.webhooks.push({ ...webhook('shared'), [key]: value });
  },
  ...more,
});
const rule = (values: Values): Values => ({ table: 'payments', on: 'insert', data: { id: 'id' }, ...values });
const ofRules = (type: string, values: Values, shown: RegExp, more: Partial<Kind> = {}): Kind => ({
  name: `rules: ${type}`,
  shown,
  make: ({ rules }) => void (rules.events[type] = rule(values)),
  ...more,
});

const atWebhook = String.raw`yaml:\d+:\d+ webhooks\[\d+\]`;
const at = (text: string): RegExp => new RegExp(`${atWebhook}${text}`);

const kinds: readonly Kind[] = [
  ofWebhook(
    'event',
    { events: ['payment.recieved'] },
    at(String.raw`\.events\[0\]: there is no event "payment\.recieved", did you mean "payment\.received"`),
    { needs: 'rules' },
  ),
  ofWebhook(
    'noun',
    { events: ['paymnt.*'] },
    at(String.raw`\.events\[0\]: no event begins with "paymnt\.", did you mean`),
    { needs: 'rules' },
  ),
  ofWebhook(
    'pattern',
    { events: ['payment received'] },
    at(String.raw`\.events\[0\]: must be an event such as`),
  ),
  ofWebhook('secret', { secret: 'hunter2' }, at(String.raw`\.secret: .*write whsec_ and what`)),
  ofWebhook(
    'http',
    { url: 'http://93.184.215.14/a' },
    at(String.raw`\.url: is not https: change it, or set delivery\.allow_http`),
  ),
  ofWebhook(
    'private',
    { url: 'https://10.0.0.5/a' },
    at(String.raw`\.url: 10\.0\.0\.5 is not a public address`),
  ),
  ofWebhook(
    'port',
    { url: 'https://93.184.215.14:81/a' },
    at(String.raw`\.url: port 81 is not in delivery\.allowed_ports`),
  ),
  ofWebhook(
    'http and private',
    { url: 'http://10.0.0.6/a' },
    at(String.raw`\.url: 10\.0\.0\.6 is not a public address`),
  ),
  ofWebhook('no URL', { url: 'api.example.com' }, at(String.raw`\.url: must be a URL such as`)),
  ofWebhook(
    'environment',
    { headers: { 'X-Key': '${env:NOT_DEFINED}' } },
    at(String.raw`\.headers\.X-Key: the environment variable NOT_DEFINED is not defined`),
  ),
  ofWebhook(
    'secret of the environment',
    { secret: '${env:NO_SECRET}' },
    at(String.raw`\.secret: the environment variable NO_SECRET is not defined`),
  ),
  ofWebhook('key', { actve: true }, at(String.raw`\.actve: is not a known key, did you mean "active"`)),
  ofWebhook(
    'filter',
    { filter: { amuont: 5 } },
    at(String.raw`\.filter: none of its events has "amuont", did you mean "amount"`),
    { needs: 'schema' },
  ),
  ofWebhook(
    'filter of numbers',
    { filter: { amount: { gt: 'much' } } },
    at(String.raw`\.filter: "amount" is a number: it cannot be compared`),
    { needs: 'schema' },
  ),
  ofWebhook(
    'operator',
    { filter: { amount: { gtt: 5 } } },
    at(String.raw`\.filter\.amount: gtt is not an operator, did you mean`),
  ),
  ofWebhook('fields', { fields: ['totl'] }, at(String.raw`\.fields: none of its events has "totl"`), {
    needs: 'rules',
  }),
  ofWebhook('header', { headers: { Host: 'x' } }, at(String.raw`\.headers: .*[Hh]ost`)),
  ofWebhook(
    'certificate',
    { client_certificate: 'absent' },
    at(String.raw`\.client_certificate: delivery\.client_certificates has no`),
  ),
  {
    name: 'same name',
    make: ({ config }) => void config.webhooks.push(webhook('twice'), webhook('twice')),
    shown: at(String.raw`\.name: is the same as webhooks`),
  },
  inOneWebhook('events', ['payment.refundd'], /there is no event "payment\.refundd", did you mean/, {
    needs: 'rules',
  }),
  inOneWebhook('secret', 'short', /\.secret: .*write whsec_/),
  inOneWebhook('url', 'http://10.0.0.7/a', /10\.0\.0\.7 is not a public address/),
  inOneWebhook('filter', { amoumt: 5 }, /none of its events has "amoumt", did you mean/, { needs: 'schema' }),
  inOneWebhook('fields', ['amoutn'], /none of its events has "amoutn", did you mean/, { needs: 'rules' }),
  inOneWebhook('headers', { 'X-Two': '${env:NOT_DEFINED_2}' }, /NOT_DEFINED_2 is not defined/),
  inOneWebhook('ordr', 'entity', /\.ordr: is not a known key, did you mean "order"/),
  inOneWebhook('timeout', '5 parsecs', /\.timeout: must be a duration/),
  {
    name: 'top-level key',
    make: ({ config }) => void (config['webhoks'] = []),
    shown: /yaml:\d+:\d+ webhoks: is not a known key, did you mean "webhooks"/,
  },
  {
    name: 'duration',
    make: ({ config }) => void (config.delivery['disable_after'] = 'soon'),
    shown: /yaml:\d+:\d+ delivery\.disable_after: must be a duration/,
  },
  {
    name: 'token',
    make: ({ config }) => void config.http.tokens.push({ name: 'ana', role: 'admin', sha256: 'abc' }),
    shown: /yaml:\d+:\d+ http\.tokens\[0\]\.sha256: must be the SHA-256/,
  },
  {
    name: 'zone',
    make: ({ config }) => void (config.source['timezone'] = 'America/Santo_Domnigo'),
    shown: /yaml:\d+:\d+ source\.timezone: is not the IANA name of a time zone, did you mean/,
  },
  {
    name: 'encryption key',
    make: ({ config }) => void (config.store['encryption_key'] = 'weak'),
    shown: /yaml:\d+:\d+ store\.encryption_key: must be 32 bytes/,
  },
  {
    name: 'certificate files',
    make: ({ config }) =>
      void (config.delivery['client_certificates'] = { bank: { cert_file: 'no.pem', key_file: 'no.pem' } }),
    shown:
      /yaml:\d+:\d+ delivery\.client_certificates\.bank: cannot be used: .*cert_file and key_file must name/,
  },
  {
    name: 'store',
    make: ({ config }) => void (config.store['url'] = 'mysql://u:p@127.0.0.1:1/s'),
    shown: /127\.0\.0\.1:1\b/,
    place: 'store',
  },
  {
    name: 'store URL',
    make: ({ config }) => void (config.store['url'] = '127.0.0.1:3306'),
    shown: /yaml:\d+:\d+ store\.url: .*mysql:\/\//,
    place: 'store',
  },
  {
    name: 'source',
    make: ({ config }) => void (config.source['url'] = 'mysql://u:p@127.0.0.1:2/s'),
    shown: /127\.0\.0\.1:2\b/,
    place: 'source',
    hides: 'schema',
  },
  {
    name: 'source URL',
    make: ({ config }) => void (config.source['url'] = '127.0.0.1:3306/s'),
    shown: /yaml:\d+:\d+ source\.url: .*mysql:\/\//,
    place: 'source',
    hides: 'schema',
  },
  {
    name: 'source without a schema',
    make: ({ config }) => void (config.source['url'] = 'mysql://u@127.0.0.1'),
    shown: /yaml:\d+:\d+ source\.url: names no schema: end it with/,
    place: 'source',
    hides: 'schema',
  },
  {
    name: 'grants',
    make: ({ config }) => void (config.source['url'] = '${env:WEAK}'),
    shown: /GRANT REPLICATION SLAVE/,
    place: 'source',
  },
  ofRules(
    'a.column',
    { data: { id: 'idd' } },
    /yaml:\d+:\d+ events\.a\.column\.data\.id: table "payments" has no column "idd", did you mean/,
    { needs: 'schema' },
  ),
  ofRules(
    'a.condition',
    { when: { stats: { becomes: 'x' } } },
    /yaml:\d+:\d+ events\.a\.condition\.when\.stats: table "payments" has no column "stats", did you mean/,
    { needs: 'schema' },
  ),
  ofRules(
    'a.table',
    { table: 'paymentss' },
    /yaml:\d+:\d+ events\.a\.table\.table: there is no table "paymentss", did you mean "payments"/,
    { needs: 'schema' },
  ),
  ofRules(
    'a.form',
    { whn: {} },
    /yaml:\d+:\d+ events\.a\.form\.whn: there is no key "whn" here, did you mean "when"/,
    { needs: 'rules' },
  ),
  ofRules(
    'a.variable',
    { key: '${env:NOT_DEFINED_3}' },
    /yaml:\d+:\d+ events\.a\.variable\.key: the environment variable NOT_DEFINED_3 is not defined/,
    { needs: 'rules' },
  ),
  {
    name: 'rules: top-level key',
    make: ({ rules }) => void ((rules['mising'] = 'warn'), (rules.events['a.good'] = rule({}))),
    shown: /yaml:\d+:\d+ mising: there is no key "mising" here, did you mean "missing"/,
    needs: 'rules',
  },
  {
    name: 'rules: no such file',
    make: ({ config }) => void (config.rules = 'nowhere.yaml'),
    shown: /yaml:\d+:\d+ rules: names a file that does not exist/,
    hides: 'rules',
    place: 'rules',
  },
];

describe('check and run report all mistakes at once', () => {
  const server = sharedServer('mysql');
  let clinic: TestSchema;
  let user: TestUser & { drop(): Promise<void> };
  let weak: TestUser & { drop(): Promise<void> };
  let folder: Awaited<ReturnType<typeof writeConfig>>;
  let env: Record<string, string>;

  beforeAll(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    const grants = [`SELECT ON \`${clinic.name}\`.*`, `ALL ON \`${clinic.name}_store\`.*`];
    user = await createUser(server, ['REPLICATION SLAVE, REPLICATION CLIENT ON *.*', ...grants]);
    weak = await createUser(server, grants);
    folder = await writeConfig('');
    const store = new URL(clinic.url(user));
    store.pathname = `/${clinic.name}_store`;
    env = {
      SOURCE: clinic.url(user),
      WEAK: clinic.url(weak),
      STORE: store.href,
      SECRET: `whsec_${'5'.repeat(64)}`,
    };
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  });

  afterAll(async () => {
    vi.unstubAllEnvs();
    await folder.remove();
    await Promise.all([user.drop(), weak.drop()]);
    await clinic.query(`DROP DATABASE IF EXISTS \`${clinic.name}_store\``);
    await clinic.drop();
  });

  async function write(made: readonly Kind[]): Promise<void> {
    const written: Written = {
      config: {
        source: { url: '${env:SOURCE}' },
        store: { url: '${env:STORE}' },
        delivery: {},
        retention: {},
        http: { listen: '127.0.0.1:0', tokens: [] },
        webhooks: [],
      },
      rules: {
        events: {
          'payment.received': rule({ data: { payment_id: 'id', amount: 'amount' } }),
          'payment.refunded': rule({ data: { payment_id: 'id', amount: 'amount' } }),
        },
      },
    };
    for (const kind of made) kind.make(written);
    written.config.rules ??= 'rules.yaml';
    await writeFile(join(folder.folder, 'rules.yaml'), JSON.stringify(written.rules, null, 1));
    await writeFile(folder.file, JSON.stringify(written.config, null, 1));
  }

  const canBeJudged = ({ needs }: Kind, others: readonly Kind[]): boolean =>
    !others.some(
      ({ hides }) => hides !== undefined && (hides === needs || (hides === 'rules' && needs === 'schema')),
    );

  it.each(kinds)('each alone: $name', async (kind) => {
    await write([kind]);
    const { code, stdout, stderr } = await callCli('check', '--config', folder.file);
    expect(stdout + stderr).toMatch(kind.shown);
    expect(code).toBeGreaterThan(0);
  });

  /** Kinds with a place exclude each other there; every choice of them is tried beside all the others. */
  const placed = Object.values(Object.groupBy(kinds, ({ place }) => place ?? '')).filter(
    (group) => group!.length > 1 && group![0]!.place !== undefined,
  ) as Kind[][];
  const choices = placed.reduce<Kind[][]>(
    (chosen, group) => chosen.flatMap((each) => [each, ...group.map((kind) => [...each, kind])]),
    [[]],
  );
  const free = kinds.filter(({ place }) => !placed.some(([first]) => first!.place === place));
  const files = choices.flatMap((chosen) => [
    [...free, ...chosen],
    [...free.filter(({ hides }) => hides === undefined), ...chosen],
  ]);

  it('covers every pair that one file can have', () => {
    const missing = kinds.flatMap((one) =>
      kinds
        .filter((other) => other !== one && (one.place === undefined || one.place !== other.place))
        .filter((other) => !files.some((file) => file.includes(one) && file.includes(other)))
        .map((other) => `${one.name} beside ${other.name}`),
    );
    expect(missing).toEqual([]);
  });

  it.each(files.map((file) => ({ file, without: kinds.filter((kind) => !file.includes(kind)) })))(
    'each beside all others, file $#',
    async ({ file }) => {
      await write(file);
      const { stdout, stderr } = await callCli('check', '--config', folder.file);
      const judged = file.filter((kind) => canBeJudged(kind, file));
      const hidden = judged.filter(({ shown }) => !shown.test(stdout + stderr)).map(({ name }) => name);
      expect(hidden).toEqual([]);
    },
  );

  it('all that fit in one file, by run as by check', async () => {
    const together = files.find(
      (file) => file.some(({ name }) => name === 'grants') && file.every(({ hides }) => hides === undefined),
    )!;
    await write(together);
    for (const command of ['check', 'run']) {
      const { code, stdout, stderr } = await runCli([command, '--config', folder.file], env);
      for (const { name, shown } of together) expect(stdout + stderr, `${command}: ${name}`).toMatch(shown);
      expect(code).toBe(2);
    }
  });

  it('run beside a store that does not answer, too', async () => {
    const together = kinds.filter(({ name }) =>
      ['store', 'event', 'rules: a.column', 'grants'].includes(name),
    );
    await write(together);
    const { code, stderr } = await runCli(['run', '--config', folder.file], env);
    for (const { name, shown } of together) expect(stderr, name).toMatch(shown);
    expect(code).toBe(2);
  });
});
