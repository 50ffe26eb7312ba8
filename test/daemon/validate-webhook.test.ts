import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import {
  createRowValidator,
  validateFileWebhooks,
  validateInput,
} from '../../src/daemon/validate-webhook.ts';
import type { WebhookRow } from '../../src/db/schema/schema.ts';
import { readRow } from '../../src/outbox/webhook/webhook-row.ts';
import { testSecret } from '../support/receiver.ts';
import { writeConfig } from '../support/daemon.ts';

describe('what is said of a webhook before it is saved', () => {
  it('is that http, private networks and other ports are closed, until the configuration opens them', async () => {
    const { file, remove } = await writeConfig('source: { url: "mysql://u@127.0.0.1/ontology_db" }');
    const config = loadConfig(file, {});
    await remove();
    const problems = (url: string): string => validateInput({ url }, config).join('\n');
    expect(problems('http://93.184.215.14/hook')).toContain('allow_http');
    expect(problems('https://10.0.0.5/hook')).toContain('allow_private_networks');
    expect(problems('https://93.184.215.14:8443/hook')).toContain('allowed_ports');
    expect(problems('https://93.184.215.14/hook')).toBe('');
    expect(validateInput({ events: ['payment.*', 'webhook.disabled', 'payments.*'] }, config)).toEqual([
      'no event begins with "payments.", did you mean "payment.*"?',
    ]);
  });
});

describe('the remedy for a URL of the file', () => {
  const openedBy = async (url: string, delivery = ''): Promise<(string | undefined)[]> => {
    const { file, remove } = await writeConfig(
      `source: { url: "mysql://u@127.0.0.1/ontology_db" }\n${delivery}\nwebhooks: [{ name: labs, url: "${url}", events: ["*"], secret: ${testSecret} }]`,
    );
    const config = loadConfig(file, {});
    await remove();
    return validateFileWebhooks(config, null).map(
      ({ remedy }) => /allow_private_networks: \['(.*)'\]/.exec(remedy ?? '')?.[1],
    );
  };
  const http = 'delivery: { allow_http: true }';

  it.each([
    ['https://10.0.0.5/hook', '', ['10.0.0.5/32:443']],
    ['https://10.0.0.5:8443/hook', '', ['10.0.0.5/32:8443']],
    ['https://[fd00::5]:8443/hook', '', ['[fd00::5/128]:8443']],
    ['https://labs.internal/hook', '', ['10.0.0.0/8:443']],
    ['http://10.0.0.5/hook', http, ['10.0.0.5/32:80']],
    ['https://93.184.215.14:8443/hook', '', [undefined]],
    ['https://169.254.169.254/hook', '', [undefined]],
    ['https://127.0.0.1:3306/hook', '', [undefined]],
    ['https://93.184.215.14/hook', '', []],
  ])('of %s opens the network where that is what is missing', async (url, delivery, opened) => {
    expect((await openedBy(url, delivery)).toSorted()).toEqual(opened);
  });
});

const sound: WebhookRow = {
  ...{
    id: 1,
    name: 'labs',
    url: 'https://93.184.215.14/hook',
    events: ['patient.created'],
    secret: testSecret,
  },
  ...{ isActive: true, createdAt: new Date(0), updatedAt: new Date(0), managedBy: 'database' },
  ...{ previousSecret: null, previousSecretExpiresAt: null, filter: null, fields: null, headers: null },
  ...{ sealedUrl: null, deliveryOrder: 'entity', maxInFlight: 8, ratePerSecond: null, timeoutMs: 15_000 },
  ...{ legacySignature: true, clientCertificate: null, failingSince: null, disabledAt: null },
  ...{ disabledReason: null, pausedAt: null, missedFrom: null, missedTo: null, deletedAt: null },
};

/** What SQL may have written into each column, and how its problem begins. */
const faults: [change: Partial<WebhookRow>, problem: RegExp][] = [
  [{ url: 'ftp//clinic' }, /^url /],
  [{ url: 'https://10.0.0.5/hook' }, /allow_private_networks/],
  [{ events: [] }, /^events cannot be read/],
  [{ events: '' }, /^events is too large for max_allowed_packet/],
  [{ events: ['patient.creatd'] }, /^there is no event "patient.creatd"/],
  [{ filter: { id: '> 1' } }, /^filter cannot be read/],
  [{ filter: '' }, /^filter is too large/],
  [{ fields: {} }, /^fields cannot be read/],
  [{ headers: [] }, /^headers cannot be read/],
  [{ headers: { host: 'x' } }, /^the header host /],
  [{ maxInFlight: 0 }, /^max_in_flight /],
  [{ timeoutMs: 1 }, /^timeout_ms /],
  [{ ratePerSecond: -1 }, /^rate_per_second /],
  [{ secret: '' }, /^secret is empty/],
  [{ clientCertificate: 'none' }, /^delivery.client_certificates has no /],
];
const columnOf = ([change]: (typeof faults)[number]): string => Object.keys(change)[0]!;
const pairs = faults.flatMap((one, index) =>
  faults
    .slice(index + 1)
    .flatMap((other) => (columnOf(one) === columnOf(other) ? [] : [[one, other] as const])),
);

it('a row with two faults is shown with both', async () => {
  const { file, remove } = await writeConfig('source: { url: "mysql://u@127.0.0.1/ontology_db" }');
  const validateRow = createRowValidator(loadConfig(file, {}));
  await remove();
  const problemsOf = (change: Partial<WebhookRow>): string[] => {
    const { webhook, record } = readRow({ ...sound, ...change }, false, clearCipher);
    return [...record.problems, ...validateRow(webhook)];
  };
  expect(problemsOf({})).toEqual([]);
  for (const [one, other] of pairs) {
    const problems = problemsOf({ ...one[0], ...other[0] });
    expect(problems).toEqual([expect.any(String), expect.any(String)]);
    for (const [, problem] of [one, other]) expect(problems).toContainEqual(expect.stringMatching(problem));
  }
});
