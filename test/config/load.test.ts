import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/types.ts';
import { loadConfig } from '../../src/config/load.ts';
import { authority } from '../hostile/certificates.ts';
import { environment, loadText, makeFolder, problemsOf, refusal, secret } from './folder.ts';

const webhook = (lines: string, first = 'name: Payments') =>
  `webhooks:\n  - ${first}\n    url: https://api.example.com/x\n    events: [payment.received]\n` +
  `    secret: \${env:WEBHOOK_SECRET}\n${lines}`;

describe('a good file', () => {
  it('needs nothing but the address of the source', () => {
    const config = loadText('');
    expect(config.source).toEqual({
      url: expect.objectContaining({ host: 'db.clinic.test', port: 3307, database: 'ontology_db' }),
      startFrom: 'now',
      timezone: 'America/Santo_Domingo',
      serverId: null,
      heartbeatMs: 5_000,
      bufferBytes: 16 * 1024 * 1024,
    });
    expect(config).toMatchObject({
      rulesFile: null,
      webhooks: [],
      http: { host: '127.0.0.1', port: 8377, tokens: [] },
      log: { level: 'info' },
    });
    expect(config.delivery.retryScheduleMs).toHaveLength(9);
    expect(config.retention).toEqual({ payloadsMs: 90 * 86_400_000, logMs: 6 * 365 * 86_400_000 });
  });

  it('puts the store beside the source, with the same user, unless it is configured', () => {
    expect(loadText('').store.url).toMatchObject({
      host: 'db.clinic.test',
      user: 'reader',
      password: 'pa/ss',
      database: 'odontology_webhooks',
      safeUrl: 'mysql://reader:***@db.clinic.test:3307/odontology_webhooks',
    });
    const elsewhere = loadText('store: { url: "mariadb://w:p@store.test/hooks" }');
    expect(elsewhere.store.url).toMatchObject({ host: 'store.test', port: 3306, database: 'hooks' });
    const unnamed = loadText('store: { url: "mysql://w:p@store.test" }');
    expect(unnamed.store.url.database).toBe('odontology_webhooks');
  });

  it('lays a map over the defaults key by key, and replaces a list', () => {
    const { delivery } = loadText('delivery:\n  concurrency: 8\n  retry_schedule: [250ms, 1.5h]\n');
    expect(delivery).toMatchObject({
      concurrency: 8,
      retryScheduleMs: [250, 5_400_000],
      allowedPorts: [443],
    });
  });

  it('reads a section that was left empty as its defaults', () => {
    const config = loadText('delivery:\n  # concurrency: 8\nwebhooks:\nwebhook_defaults:\n  headers:\n');
    expect(config.delivery.concurrency).toBe(64);
    expect(config.webhooks).toEqual([]);
    expect(config.webhookDefaults.headers).toEqual({});
  });

  it('gives a webhook what webhook_defaults say, unless it says otherwise', () => {
    const defaults = 'webhook_defaults: { timeout: 3s, headers: { X-Clinic: central }, order: none }\n';
    const [plain, special] = loadText(
      defaults +
        webhook(
          '  - name: Special\n    url: https://b.example/\n    events: ["*"]\n    secret: ${env:WEBHOOK_SECRET}\n' +
            '    timeout: 1m\n    headers: { X-Other: "1" }\n    order: entity\n    active: false\n' +
            '    rate_limit: 30/m\n    filter: { branch_id: [1, "2"], kind: x, vip: true }\n    fields: [amount]\n',
        ),
    ).webhooks;
    expect(plain).toMatchObject({
      name: 'Payments',
      url: 'https://api.example.com/x',
      events: ['payment.received'],
      secret,
      isActive: true,
      filter: null,
      fields: null,
      headers: { 'X-Clinic': 'central' },
      order: 'none',
      maxInFlight: 8,
      ratePerSecond: null,
      timeoutMs: 3_000,
      legacySignature: true,
      clientCertificate: null,
    });
    expect(special).toMatchObject({
      isActive: false,
      filter: { branch_id: [1, '2'], kind: ['x'], vip: [true] },
      fields: ['amount'],
      headers: { 'X-Other': '1' },
      order: 'entity',
      ratePerSecond: 0.5,
      timeoutMs: 60_000,
    });
  });

  it('remembers where each webhook stands', () => {
    const [first] = loadText(`\n${webhook('    headers: { X-A: b }\n')}`).webhooks;
    expect(first?.positions['']).toMatchObject({ line: 3, column: 5 });
    expect(first?.positions['url']).toMatchObject({ line: 4, column: 5 });
    expect(first?.positions['events[0]']).toMatchObject({ line: 5, column: 14 });
    expect(first?.positions['headers.X-A']).toMatchObject({ line: 7, column: 16 });
  });

  it('finds what it names relative to itself', () => {
    const folder = makeFolder();
    folder.write('events.yaml', 'events: {}');
    folder.write('store.key', `${Buffer.alloc(32, 7).toString('base64')}\n`);
    folder.write('ca.pem', 'PEM');
    const file = folder.write(
      'webhooks.yaml',
      'rules: events.yaml\nstore:\n  encryption_key: file:store.key\n  url: mysql://w:p@s/hooks?ssl-ca=ca.pem\n' +
        `  old_encryption_keys: ['${'0a'.repeat(32)}']\n`,
    );
    const config = loadConfig(file, environment);
    expect(config.rulesFile).toBe(`${folder.path}/events.yaml`);
    expect(config.store.url.tls?.ca).toBe('PEM');
    const [current, old] = config.store.encryptionKeys;
    expect([current?.bytes, old?.bytes]).toEqual([Buffer.alloc(32, 7), Buffer.alloc(32, 10)]);
    expect(current?.id).toMatch(/^[0-9a-f]{16}$/);
    expect(current?.id).not.toBe(old?.id);
  });

  it.each([
    ['allow_private_networks', '[10.0.0.0/8]', [{ cidr: '10.0.0.0/8' }]],
    ['allow_private_networks', '["127.0.0.1:9000"]', [{ cidr: '127.0.0.1/32', port: 9000 }]],
    ['allow_private_networks', '["10.1.0.0/16:8443"]', [{ cidr: '10.1.0.0/16', port: 8443 }]],
    ['allow_private_networks', '["fd00::/8", "::1"]', [{ cidr: 'fd00::/8' }, { cidr: '::1/128' }]],
    ['allow_private_networks', '["[fd00::/8]:8443"]', [{ cidr: 'fd00::/8', port: 8443 }]],
  ])('reads delivery.%s: %s', (key, written, networks) => {
    expect(loadText(`delivery: { ${key}: ${written} }`).delivery.allowPrivateNetworks).toEqual(networks);
  });

  it.each([
    ['127.0.0.1:0', '127.0.0.1', 0],
    ['0.0.0.0:80', '0.0.0.0', 80],
    ['localhost:8377', 'localhost', 8377],
    ['"[::1]:8377"', '::1', 8377],
  ])('listens on %s', (written, host, port) => {
    expect(loadText(`http:\n  listen: ${written}`).http).toMatchObject({ host, port });
  });

  it('takes numbers and switches from the environment as well', () => {
    const { delivery } = loadText('delivery:\n  concurrency: ${env:N}\n  allow_http: ${env:YES}\n', {
      ...environment,
      N: '12',
      YES: 'true',
    });
    expect(delivery).toMatchObject({ concurrency: 12, allowHttp: true });
  });

  it('keeps the proxy of the environment only when it is said to be the guard', () => {
    const env = { ...environment, HTTPS_PROXY: 'http://proxy.test:3128' };
    expect(loadText('delivery: { proxy_is_guard: true }', env).delivery.proxies).toEqual({
      https: 'http://proxy.test:3128',
      http: null,
      exempt: [],
    });
    expect(loadText('').delivery.proxies).toBeNull();
    expect(problemsOf('delivery:\n  concurrency: 1\n', env)).toEqual([
      expect.stringMatching(
        /^webhooks\.yaml:1:1 delivery\.proxy_is_guard: HTTPS_PROXY is set, .*unset it, or set/,
      ),
    ]);
  });

  it.each([
    ['without a scheme', { https_proxy: '127.0.0.1:3128' }, { https: 'http://127.0.0.1:3128', http: null }],
    ['for one scheme', { HTTP_PROXY: 'http://p:1' }, { https: null, http: 'http://p:1' }],
    ['for all', { ALL_PROXY: 'https://p:1' }, { https: 'https://p:1', http: 'https://p:1' }],
    [
      'with exceptions',
      { ALL_PROXY: 'p:1', NO_PROXY: 'a.test, .b.test,10.0.0.0/8' },
      {
        https: 'http://p:1',
        http: 'http://p:1',
        exempt: ['a.test', '.b.test', '10.0.0.0/8'],
      },
    ],
  ])('reads the proxies of the environment as curl does: %s', (_kind, variables, proxies) => {
    const { delivery } = loadText('delivery: { proxy_is_guard: true }', { ...environment, ...variables });
    expect(delivery.proxies).toEqual({ exempt: [], ...proxies });
  });

  it.each([
    ['socks5://user:pa55@p:1080', 'has the scheme socks5'],
    ['http://', 'is not a URL'],
    ['http://p:99999', 'is not a URL'],
  ])('refuses at the start a proxy that cannot be used, without repeating it: %s', (value, problem) => {
    const problems = problemsOf('delivery: { proxy_is_guard: true }', { ...environment, HTTPS_PROXY: value });
    expect(problems).toEqual([expect.stringContaining(`HTTPS_PROXY ${problem}`)]);
    expect(problems[0]).not.toContain('pa55');
  });

  it('reads delivery.ca_file, and refuses one that holds no certificate', () => {
    const { path, write } = makeFolder();
    const load = (): Config =>
      loadConfig(write('webhooks.yaml', 'delivery: { ca_file: ca.pem }\n'), environment);
    expect(load).toThrow(/delivery\.ca_file: names a file that cannot be read/);
    write('ca.pem', `Subject: our own\n${authority}`);
    expect(load().delivery.ca).toBe(authority.trim());
    for (const bad of ['', 'hello', authority.replace(/[A-Z]/, '!'), authority.replace('MII', 'AAA')]) {
      write('ca.pem', bad);
      expect(load, path).toThrow(/ca_file: must be the path of a file with certificates/);
    }
  });

  const leak = 'whsec_5f2b8c1d9e7a4f60';
  const bearer = 'Bearer kZ8qX2vN7wL4tR9yB3mC6pD1sF5gH0jA';
  const url = 'mysql://w:p4ssw0rd@db/x';
  it.each([
    `webhooks: [{ secret:${leak} }]`,
    `webhooks: [{ name: a, secret:${leak} }]`,
    `webhooks: [{ secret:"${leak}" }]`,
    `webhooks:\n  - secret:${leak}`,
    `webhooks:\n  - name: a\n    secret:${leak}\n`,
    `webhooks:\n  - ${leak}: secret`,
    `webhooks:\n  - { ? ${leak} : x }`,
    `webhooks:\n  - secret: [${leak}]`,
    `webhooks:\n  - secret: { ${leak} }`,
    `webhooks:\n  - secret: { ${leak}: }`,
    `webhooks:\n  - secret: !${leak} x`,
    `webhooks:\n  - secret: *${leak}`,
    `webhooks:\n  - secret: &${leak} &b x`,
    `webhooks:\n  - secret: |${leak}`,
    `webhooks:\n  - secret: "${leak}\n`,
    `webhooks:\n  - secret: '${leak}'x`,
    `webhooks:\n  - secret: @${leak}`,
    `webhooks:\n  - secret: %${leak}`,
    `webhooks:\n  - secret: \`${leak}`,
    `webhooks:\n  - secret: "\\q${leak}"`,
    `webhooks:\n  - secret: x: ${leak}`,
    `webhooks:\n  - secret: x\n\t${leak}`,
    `%${leak} x\n---\n`,
    leak,
    `${leak}: ${leak}`,
    `? ${leak}`,
    `? [${leak}]\n: x`,
    `- ${leak}`,
    `--- ${leak}\n--- ${leak}\n`,
    `webhooks: [{ headers: { Authorization:${bearer} } }]`,
    `webhooks: [{ headers: { Authorization: [${bearer}] } }]`,
    `webhooks: [{ headers: { "Authorization: ${bearer}": } }]`,
    `http: { tokens: [{ sha256:${'9f'.repeat(32)} }] }`,
    `http: { tokens: [${'9f'.repeat(32)}] }`,
    `http: { tokens: { ${'9f'.repeat(32)}: admin } }`,
    `store: { encryption_key:kZ8qX2vN7wL4tR9yB3mC6pD1sF5gH0jAkZ8qX2vN7wL= }`,
    `store: { kZ8qX2vN7wL4tR9yB3mC6pD1sF5gH0jAkZ8qX2vN7wL=: }`,
    `source: { url:${url} }`,
    `source: { ${url}: }`,
    `source: { url: { ${url} } }`,
    `source: { url: [${url}] }`,
    `source: ${url}`,
    `source:\n  url: "${url}" x`,
  ])('never quotes a secret, whatever form it is written in: %j', (content) => {
    const told = problemsOf(content).join();
    for (const secretPart of ['5f2b8c1d', 'kZ8qX2', '9f9f9f', 'p4ssw0rd'])
      expect(told).not.toContain(secretPart);
  });

  // Letters alone look like no secret: where they stand says that they may be one.
  describe.each(['hunter', 'correcthorse', 'SuperSecretToken', 'SUPERSECRET', 'qzxvkwpmtbnrhdlg'])(
    '%s',
    (token) => {
      it.each([
        `webhooks: [{ ${token} }]`,
        `webhooks: [{ ${token}: }]`,
        `webhooks: [{ ? ${token} }]`,
        `webhooks: [{ secret:${token} }]`,
        `webhooks: [{ secret=${token} }]`,
        `webhooks: [{ secret ${token} }]`,
        `webhooks: [{ secret ${token}: x }]`,
        `webhooks: [{ "": ${token} }]`,
        `webhooks:\n  - secret: { ${token} }`,
        `webhooks:\n  - secret: { x: ${token} }`,
        `webhooks:\n  - secret: [${token}]`,
        `webhooks:\n  - ${token}:`,
        `webhook_defaults: { ${token} }`,
        `store: { ${token} }`,
        `store: { encryption_key: { ${token} } }`,
        `http: { tokens: [{ ${token} }] }`,
        `http: { tokens: { ${token} } }`,
        `source: { ${token} }`,
        `${token}:`,
        token,
      ])('is not quoted in %j', (content) => {
        expect(problemsOf(content).join()).not.toContain(token);
      });
    },
  );

  it('quotes an unknown key that has a value, and one close to a known key', () => {
    expect(problemsOf('store: { colour: 1 }').join()).toContain('store.colour: is not a known key');
    expect(problemsOf('store: { Urll: }').join()).toContain(
      'store.Urll: is not a known key, did you mean "url"?',
    );
  });

  it('lists the first of thousands of mistakes, and says that there are more', () => {
    const keys = Array.from({ length: 20_000 }, (_, n) => `key${n}: 1`).join('\n');
    const problems = problemsOf(keys);
    expect(problems).toHaveLength(100);
    expect(problems[0]).toContain('key0: is not a known key');
    expect(problems.at(-1)).toMatch(/; there are more$/);
  });

  it('refuses thousands of aliases', () => {
    const aliases = Array.from({ length: 8_000 }, () => '*a').join(', ');
    expect(problemsOf(`x: &a 1\ny: [${aliases}]`).join()).toContain('more than 200 aliases');
  });

  it('cannot be changed', () => {
    const config = loadText(webhook(''));
    expect(() => Object.assign(config.delivery, { concurrency: 1 })).toThrow(TypeError);
    expect(() => (config.webhooks as unknown[]).push(1)).toThrow(TypeError);
    expect(() => Object.assign(config.webhooks[0]!.headers, { a: 'b' })).toThrow(TypeError);
  });
});

describe('a file that is not there', () => {
  it('is reported with what to do', () => {
    expect(refusal(() => loadConfig('/nowhere/webhooks.yaml', environment))).toMatchObject({
      code: 'ERR_CONFIG',
      exitCode: 2,
      message: 'there is no file /nowhere/webhooks.yaml',
      remedy: expect.stringContaining('--config FILE'),
    });
  });
});

describe('one mistake gives one message', () => {
  const duration = (from: string, to: string) =>
    `must be a duration such as 15s, 5m, 2h or 30d, from ${from} to ${to}`;
  it.each([
    // The source and the store.
    [
      'source:\n  url: hunter2',
      '2:3 source.url: is not a database URL (mysql://user:password@host:3306/schema)',
    ],
    [
      'source:\n  url: mysql://u:hunter2@h',
      '2:3 source.url: names no schema: end it with /ontology_db, or as the clinic calls it',
    ],
    ['source:\n  url: ${env:NOPE}', '2:3 source.url: the environment variable NOPE is not defined'],
    ['source:\n  urll: x', '2:3 source.urll: is not a known key, did you mean "url"?'],
    [
      'source:\n  start_from: oldst',
      '2:3 source.start_from: must be one of now, oldest, did you mean "oldest"?',
    ],
    [
      'source:\n  timezone: America/Santo_Domngo',
      '2:3 source.timezone: is not the IANA name of a time zone, did you mean "America/Santo_Domingo"?',
    ],
    ['source:\n  heartbeat: 5', `2:3 source.heartbeat: ${duration('500ms', '5m')}`],
    ['source:\n  heartbeat: 5x', `2:3 source.heartbeat: ${duration('500ms', '5m')}`],
    ['source:\n  heartbeat: 2h', `2:3 source.heartbeat: ${duration('500ms', '5m')}`],
    [
      'source:\n  buffer: 64MB',
      '2:3 source.buffer: must be a size such as 512KiB, 64MiB or 1GiB, from 1MiB to 16384MiB',
    ],
    ['source:\n  server_id: 0', '2:3 source.server_id: must be a whole number from 1 to 4294967295'],
    ['source: 5', '1:1 source: must be a map: keys, each with a value'],
    [
      'store:\n  url: mysql://w:hunter2@db.clinic.test:3307/ontology_db',
      "2:3 store.url: is the application's own schema: give it one of its own",
    ],
    [
      'store:\n  encryption_key: hunter2',
      '2:3 store.encryption_key: must be 32 bytes as base64 or hex, or file: and the path of a file with them ' +
        '(make one: openssl rand -base64 32)',
    ],
    [
      `store:\n  old_encryption_keys:\n    - ${'ab'.repeat(32)}`,
      '2:3 store.old_encryption_keys: needs store.encryption_key, which takes their place',
    ],
    [
      'rules: hunter2.yaml',
      '1:1 rules: names a file that does not exist: paths are relative to the configuration file',
    ],
    // Webhooks.
    [webhook('', 'active: true'), '2:5 webhooks[0].name: is missing'],
    [
      webhook('', 'name: 42'),
      '2:5 webhooks[0].name: must be text of 1 to 255 characters, in quotes where YAML would read something else',
    ],
    [webhook('').replace(/ {4}secret.*\n/, ''), '2:5 webhooks[0].secret: is missing'],
    [
      webhook('').replace('${env:WEBHOOK_SECRET}', 'hunter2hunter2!'),
      '5:5 webhooks[0].secret: the secret is not canonical base64 (optionally after "whsec_"): write whsec_ and what ' +
        '`openssl rand -hex 32` prints',
    ],
    [
      webhook('').replace('${env:WEBHOOK_SECRET}', 'whsec_aHVudGVyMg=='),
      '5:5 webhooks[0].secret: the secret is 7 bytes long once decoded, it must have at least 24: write whsec_ and what ' +
        '`openssl rand -hex 32` prints',
    ],
    [
      webhook('').replace('https:', 'http:'),
      '3:5 webhooks[0].url: is not https: change it, or set delivery.allow_http: true',
    ],
    [
      webhook('').replace('https://', 'https://u:hunter2@'),
      '3:5 webhooks[0].url: has a user or a password: send them as a header, see headers',
    ],
    [
      webhook('').replace('https://api.example.com/x', 'ftp://hunter2.example.com/x'),
      '3:5 webhooks[0].url: must be a URL such as https://api.example.com/webhooks, of at most 2048 characters',
    ],
    [
      webhook('').replace('[payment.received]', '[]'),
      '4:5 webhooks[0].events: is empty: name at least one event, or "*" for all',
    ],
    [
      webhook('').replace('[payment.received]', 'payment.received'),
      '4:5 webhooks[0].events: must be a list: [a, b]',
    ],
    [webhook('').replace('[payment.received]', '[a.b, a.b]'), '4:5 webhooks[0].events: names an event twice'],
    [
      webhook('').replace('[payment.received]', '["payment*"]'),
      '4:14 webhooks[0].events[0]: must be an event such as payment.received, all events of a noun such as "payment.*", or "*"',
    ],
    [
      webhook('    rate_limit: 50\n'),
      '6:5 webhooks[0].rate_limit: must be a rate such as 50/s, 30/m or 100/h',
    ],
    [
      webhook('    max_in_flight: 0\n'),
      '6:5 webhooks[0].max_in_flight: must be a whole number from 1 to 1000',
    ],
    [webhook('    timeout: 15\n'), `6:5 webhooks[0].timeout: ${duration('100ms', '5m')}`],
    [webhook('    active: yes\n'), '6:5 webhooks[0].active: must be true or false'],
    [webhook('    odrer: none\n'), '6:5 webhooks[0].odrer: is not a known key, did you mean "order"?'],
    [
      webhook('    headers: { X-Number: 1 }\n'),
      '6:16 webhooks[0].headers.X-Number: must be text, in quotes where YAML would read something else',
    ],
    [
      webhook('    filter: { branch_id: { a: 1 } }\n'),
      '6:15 webhooks[0].filter.branch_id: a is not an operator: it is one of gt, gte, lt, lte, not, prefix, exists',
    ],
    [webhook('    fields: []\n'), '6:5 webhooks[0].fields: is empty: leave it out to send all fields'],
    [
      'webhook_defaults:\n  timeout: 5\nwebhooks: []',
      `2:3 webhook_defaults.timeout: ${duration('100ms', '5m')}`,
    ],
    [
      `webhook_defaults: { ordr: none }\n${webhook('')}`,
      '1:21 webhook_defaults.ordr: is not a known key, did you mean "order"?',
    ],
    [
      `webhook_defaults: { timeout: 5 }\n${webhook('')}`,
      `1:21 webhook_defaults.timeout: ${duration('100ms', '5m')}`,
    ],
    ['webhooks:\n  - hunter2', '2:5 webhooks[0]: must be a map: keys, each with a value'],
    ['webhooks: { a: 1 }', '1:1 webhooks: must be a list: [a, b]'],
    // Delivery, HTTP and the rest.
    [
      'delivery:\n  retry_schedule: [5s, 5 m]',
      `2:24 delivery.retry_schedule[1]: ${duration('100ms', '30d')}`,
    ],
    ['delivery:\n  retry_schedule: []', '2:3 delivery.retry_schedule: is empty: give at least one delay'],
    [
      'delivery:\n  allowed_ports: [70000]',
      '2:19 delivery.allowed_ports[0]: must be a whole number from 1 to 65535',
    ],
    ...['10.0.0.0/33', '10.0.0/8', 'localhost', '10.0.0.1:99999', 'fd00::/8:443'].map(
      (network): [string, string] => [
        `delivery:\n  allow_private_networks: ["${network}"]`,
        '2:28 delivery.allow_private_networks[0]: must be a network such as 10.0.0.0/8 or fd00::/8, optionally with a port: ' +
          '10.1.2.3/32:8443, [fd00::/8]:8443',
      ],
    ),
    ...['8377', '127.0.0.1', '127.0.0.1:99999', '::1:8377'].map((address): [string, string] => [
      `http:\n  listen: "${address}"`,
      '2:3 http.listen: must be an address and a port, such as 127.0.0.1:8377 or [::1]:8377',
    ]),
    [
      'http:\n  tokens:\n    - { name: ana, role: admin, sha256: hunter2 }',
      '3:33 http.tokens[0].sha256: must be the SHA-256 of the token, 64 hex characters in quotes: ' +
        'printf %s "$TOKEN" | sha256sum',
    ],
    [
      `http:\n  tokens:\n    - { name: ana, role: root, sha256: "${'ab'.repeat(32)}" }`,
      '3:20 http.tokens[0].role: must be one of admin, operator, auditor',
    ],
    [
      'log: { level: infos }',
      '1:8 log.level: must be one of debug, info, warn, error, silent, did you mean "info"?',
    ],
    ['webhoks: []', '1:1 webhoks: is not a known key, did you mean "webhooks"?'],
    ['- a', '1:1 must be a map: keys such as source: and webhooks:, each with a value'],
  ])('%j', (content, line) => {
    const problems = problemsOf(content);
    expect(problems).toEqual([`webhooks.yaml:${line}`]);
    expect(problems.join()).not.toContain('hunter2');
  });

  it('names the variable when the address of the source is nowhere', () => {
    expect(problemsOf('log: { level: info }', {})).toEqual([
      'webhooks.yaml:1:1 source.url: is missing, and the environment variable SOURCE_DATABASE_URL is not defined',
    ]);
  });
});

describe('names', () => {
  const token = (name: string, byte: string) =>
    `{ name: ${name}, role: admin, sha256: '${byte.repeat(32)}' }`;

  it('are given once, tokens too', () => {
    const again = webhook('').replace('webhooks:\n', '');
    expect(problemsOf(webhook(again))).toEqual([
      'webhooks.yaml:6:5 webhooks[1].name: is the same as webhooks[0].name',
    ]);
    expect(
      problemsOf(
        `http:\n  tokens:\n    - ${token('ana', 'ab')}\n    - ${token('luz', 'cd')}\n    - ${token('ana', 'cd')}\n`,
      ),
    ).toEqual([
      'webhooks.yaml:5:9 http.tokens[2].name: is the same as http.tokens[0].name',
      'webhooks.yaml:5:33 http.tokens[2].sha256: is the same as http.tokens[1].sha256',
    ]);
  });
});

describe('many mistakes', () => {
  const content = `sorce: {}
source:
  url: \${env:NOPE}
  heartbeat: 1y
delivery:
  allow_htp: true
webhooks:
  - name: a
    url: http://x.example/
    events: []
    secret: \${env:SHORT_SECRET}
  - name: a
    url: https://x.example/
    events: [a.b]
    secret: \${env:WEBHOOK_SECRET}
    timeout: soon
rules: missing.yaml
`;

  it('are reported at once, in the order of the file', () => {
    const problems = problemsOf(content, { ...environment, SHORT_SECRET: 'hunter2' });
    const places = problems.map((line) =>
      /^webhooks\.yaml:(\d+):\d+ (\S+):/.exec(line)?.slice(1, 3).join(' '),
    );
    expect(places).toEqual([
      '1 sorce',
      '3 source.url',
      '4 source.heartbeat',
      '6 delivery.allow_htp',
      '9 webhooks[0].url',
      '10 webhooks[0].events',
      '11 webhooks[0].secret',
      '12 webhooks[1].name',
      '16 webhooks[1].timeout',
      '17 rules',
    ]);
    expect(problems.join('\n')).not.toContain('hunter2');
  });

  it('are an error of configuration that a person can read: no stack, no values', () => {
    const file = makeFolder().write('webhooks.yaml', content);
    const error = refusal(() => loadConfig(file, { ...environment, SHORT_SECRET: 'hunter2' }));
    expect(error).toMatchObject({ code: 'ERR_CONFIG', exitCode: 2 });
    expect(error.message).not.toMatch(/\n\s+at /);
    expect(`${error.message}${error.remedy}`).not.toMatch(/hunter2|pa%2Fss|pa\/ss|whsec_0123/);
  });
});
