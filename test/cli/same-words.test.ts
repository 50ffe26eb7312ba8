import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { errorCatalogue, type ErrorCode } from '../../src/lib/errors.ts';
import { callCli } from '../support/call-cli.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';

/** A value that both take, in a place of the command line and in one of the API. */
interface Taken {
  name: string;
  cli(value: string): readonly string[];
  api(value: string): { method?: string; path: string; body?: string };
  refused: readonly string[];
  accepted: readonly string[];
}

const long = (length: number): string => 'x'.repeat(length);
const q = encodeURIComponent;
const ofList = (command: readonly string[], path: string, key: string) => ({
  cli: (value: string) => [...command, `--${key}`, value],
  api: (value: string) => ({ path: `${path}?${key}=${q(value)}` }),
});
const deliveries = (key: string) => ofList(['deliveries', 'list'], '/api/deliveries', key);
const acts = (key: string) => ofList(['audit', 'log'], '/api/audit', key);

/** A setting of a new webhook. `json`: how the command line writes it is JSON too. */
function ofWebhook(option: string, key: string, toJson: (value: string) => string = JSON.stringify) {
  const settings: Record<string, [string, string]> = {
    name: ['Pagos', '"Pagos"'],
    url: ['https://93.184.215.14/x', '"https://93.184.215.14/x"'],
    event: ['payment.received', '["payment.received"]'],
  };
  return {
    cli: (value: string) => {
      const all = { ...settings, [option]: [value, ''] as [string, string] };
      return ['webhooks', 'create', ...Object.entries(all).flatMap(([each, [text]]) => [`--${each}`, text])];
    },
    api(value: string) {
      const others = Object.entries(settings).filter(([each]) => each !== option);
      const pairs = others.map(([each, [, json]]) => `"${each === 'event' ? 'events' : each}": ${json}`);
      return {
        method: 'POST',
        path: '/api/webhooks',
        body: `{ ${[...pairs, `"${key}": ${toJson(value)}`].join(', ')} }`,
      };
    },
    accepted: [],
  };
}

const moments = {
  refused: [
    ...['', 'soon', '0000-00-00', '2026-02-30', '2026-13-01', '1969-12-31', '2026-03-07T24:00Z', '2 hours'],
    ...['2h 5m', '99999999y', '-2h', '2026-03-07T15:30:00+25:00', '07/03/2026'],
  ],
  accepted: [
    ...['2h', '90d', '1.5h', '2026-03-07', '2024-02-29', '2026-03-07T15:30Z', '2026-03-07 15:30'],
    '2026-03-07T15:30:00.5-04:00',
  ],
};
const ids = {
  refused: ['0', '-1', '1.5', 'x', '9007199254740993', ' 1'],
  accepted: ['1', '9007199254740991'],
};
const names = { refused: ['', long(256)], accepted: ['Señora 😀', long(255), '😀'.repeat(255)] };

const taken: readonly Taken[] = [
  { name: 'since', ...deliveries('since'), ...moments },
  { name: 'until', ...deliveries('until'), ...moments },
  { name: 'since of acts', ...acts('since'), ...moments },
  {
    name: 'limit',
    ...deliveries('limit'),
    refused: ['0', '-1', '501', '10000', '1.5', 'all', ''],
    accepted: ['1', '500'],
  },
  { name: 'cursor', ...deliveries('cursor'), ...ids },
  {
    name: 'status',
    ...deliveries('status'),
    refused: ['delivred', 'FAILED', ''],
    accepted: ['failed', 'exhausted'],
  },
  {
    name: 'entity',
    ...deliveries('entity'),
    refused: ['45', ':45', 'patients:', long(321)],
    accepted: ['a:b:c'],
  },
  {
    name: 'event',
    ...deliveries('event'),
    refused: ['nope', 'payment.recieved', 'paymnt.*', '', long(129), 'a b'],
    accepted: ['payment.received', 'payment.*', 'capture.*', 'webhook.disabled', '*'],
  },
  {
    name: 'webhook',
    ...deliveries('webhook'),
    refused: ['', 'no such one', long(256), '777'],
    accepted: ['File', '1'],
  },
  { name: 'patient', ...deliveries('patient'), ...names },
  { name: 'actor', ...acts('actor'), ...names },
  { name: 'target', ...acts('target'), ...names },
  {
    name: 'action',
    ...acts('action'),
    refused: ['', '¡', long(65), 'a b'],
    accepted: ['webhook.*', 'patient.access'],
  },
  {
    name: 'id',
    cli: (value) => ['deliveries', 'show', '--json', '--', value],
    api: (value) => ({ path: `/api/deliveries/${q(value)}` }),
    refused: [...ids.refused, '4711'],
    accepted: [],
  },
  {
    name: 'reason',
    cli: (value) => ['erase', '--yes', '--patient', '999999', '--reason', value],
    api: (reason) => ({
      method: 'POST',
      path: '/api/patients/999999/erase',
      body: JSON.stringify({ reason }),
    }),
    refused: ['', long(1_025)],
    accepted: [],
  },
  {
    name: 'events of a replay',
    cli: (value) => [
      ...['replay', '--webhook', 'File', '--since', '1h', '--reason', 'r', '--yes', '--detach'],
      ...['--event', value],
    ],
    api: (value) => ({
      method: 'POST',
      path: '/api/replays',
      body: JSON.stringify({ webhook: 'File', since: '1h', reason: 'r', events: [value] }),
    }),
    refused: ['payment.recieved', 'nope'],
    accepted: [],
  },
  {
    name: 'rate of a replay',
    cli: (value) => [
      ...['replay', '--webhook', 'File', '--since', '1h', '--reason', 'r', '--yes', '--detach'],
      ...['--rate', value],
    ],
    api: (rate) => ({
      method: 'POST',
      path: '/api/replays',
      body: JSON.stringify({ webhook: 'File', since: '1h', reason: 'r', rate }),
    }),
    refused: ['0/s', 'fast', '50/d', '1000000/s', '-5', ''],
    accepted: ['50/s', '30/m', '50'],
  },
  { name: 'name', ...ofWebhook('name', 'name'), refused: ['', ' all ', '123', long(256), 'file'] },
  {
    name: 'url',
    ...ofWebhook('url', 'url'),
    refused: [
      ...['', 'example.com', 'ftp://example.com/x', 'https://example.com/a b', 'http://example.com/x'],
      ...['https://user:pw@example.com/', 'https://127.0.0.1/x', 'https://example.com:8443/x'],
      ...['https://example.com/a\\b', `https://example.com/${long(2_048)}`, 'https://example.com/a\u200bb'],
    ],
  },
  {
    name: 'events',
    ...ofWebhook('event', 'events', (value) => JSON.stringify([value])),
    refused: ['payment.recieved', 'paymnt.*', 'x y', '', long(129), '!'],
  },
  {
    name: 'filter',
    ...ofWebhook('filter', 'filter', (value) => value),
    refused: [
      ...['{"amount":"> 100"}', '{"amount":null}', '{"amount":{}}', '{"amount":{"gt":true}}', '{"amont":1}'],
      ...['{"payment_id":true}', '{"amount":{"grater":1}}', '{"amount":[]}', '[]', '7'],
      '{"amount":{"exists":false,"gt":1}}',
    ],
  },
  {
    name: 'fields',
    ...ofWebhook('field', 'fields', (value) => JSON.stringify([value])),
    refused: ['amont', '', ' amount', long(65)],
  },
  {
    name: 'header',
    ...ofWebhook('header', 'headers', (value) => {
      const [name = '', text] = value.split(': ');
      return JSON.stringify({ [name]: text });
    }),
    refused: ['Host: x', 'X-A: ñ', 'Content-Length: 5', 'a b: c'],
  },
  { name: 'order', ...ofWebhook('order', 'order'), refused: ['entty', 'ENTITY', ''] },
  { name: 'in flight', ...ofWebhook('max-in-flight', 'max_in_flight'), refused: ['0', '1001', '1.5', 'x'] },
  { name: 'rate limit', ...ofWebhook('rate-limit', 'rate_limit'), refused: ['7', '0/s', '5/d', 'fast'] },
  { name: 'timeout', ...ofWebhook('timeout', 'timeout'), refused: ['5', '1ms', '6m', 'soon'] },
  { name: 'signature', ...ofWebhook('legacy-signature', 'legacy_signature'), refused: ['yes', '1'] },
  { name: 'certificate', ...ofWebhook('client-certificate', 'client_certificate'), refused: ['nope', ' x'] },
];

/** What both must say: the command line writes names of options with `--`, and its sentence behind the code. */
const withoutDashes = (text: string): string => text.replace(/(^|\s)--(?=[a-z])/g, '$1');

describe('the command line and the API', () => {
  let clinic: TestSchema;
  let daemon: DaemonProcess;
  let store: string;
  const env = (): Record<string, string> => ({
    SOURCE_DATABASE_URL: clinic.url(),
    STORE_DATABASE_URL: clinic.url().replace(clinic.name, store),
  });

  beforeAll(async () => {
    clinic = await createSchema(sharedServer('mysql'));
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: env()['STORE_DATABASE_URL']!,
      yaml: `webhooks: [{ name: File, url: "https://93.184.215.14/file", events: [capture.gap], secret: whsec_${'ab'.repeat(32)} }]`,
    });
    await daemon.untilReady();
    for (const [name, value] of Object.entries(env())) vi.stubEnv(name, value);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await daemon.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  async function ask({ method = 'GET', path, body }: ReturnType<Taken['api']>) {
    const response = await fetch(daemon.url + path, {
      method,
      headers: {
        authorization: `Bearer ${daemon.token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body }),
    });
    return { status: response.status, body: (await response.json()) as { code: ErrorCode; message: string } };
  }
  const run = (args: readonly string[]) => {
    const end = args.indexOf('--');
    const at = end < 0 ? args.length : end;
    return callCli(...args.slice(0, at), '--config', daemon.configFile, ...args.slice(at));
  };

  it.each(taken)('refuse the same values of $name in the same words', async ({ cli, api, refused }) => {
    for (const value of refused) {
      const answer = await ask(api(value));
      const result = await run(cli(value));
      const shown = `${value}: ${JSON.stringify(answer)} ${result.stderr}`;
      expect(answer.status, shown).toBeGreaterThanOrEqual(400);
      expect(answer.status, shown).toBeLessThan(500);
      const { code, message } = answer.body;
      expect(result.code, shown).toBe(errorCatalogue[code].exit);
      const [said] = withoutDashes(result.stderr).split('\nRemedy: ');
      expect(said, shown).toBe(`${code}: ${message}`);
      // A regular expression is not for people.
      expect(message, shown).not.toMatch(/pattern|\^|\\d|\[0-9\]/);
    }
  });

  it.each(taken.filter(({ accepted }) => accepted.length > 0))(
    'accept the same values of $name',
    async ({ cli, api, accepted }) => {
      for (const value of accepted) {
        const answer = await ask(api(value));
        const result = await run(cli(value));
        expect([value, answer.status < 300, answer.body]).toEqual([value, true, expect.anything()]);
        expect([value, result.code, result.stderr]).toEqual([value, 0, expect.any(String)]);
      }
    },
  );
});
