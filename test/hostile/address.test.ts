import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGuard, type GuardOptions } from '../../src/delivery/send/guard.ts';
import { createSender } from '../../src/delivery/send/send.ts';
import { type Receiver, startReceiver } from '../delivery/receiver.ts';
import { testRequest } from './request.ts';

const closed: GuardOptions = {
  allowHttp: false,
  allowPrivateNetworks: [],
  allowedPorts: [443],
  forbidden: [],
};

/** Addresses that no delivery may reach by default, however a name or a literal leads there. */
const refused: [kind: string, address: string][] = [
  ['loopback', '127.0.0.1'],
  ['loopback, another one', '127.255.255.254'],
  ['this host', '0.0.0.0'],
  ['this network', '0.1.2.3'],
  ['private, class A', '10.0.0.1'],
  ['private, class B', '172.16.0.1'],
  ['private, end of class B', '172.31.255.255'],
  ['private, class C', '192.168.1.1'],
  ['carrier-grade NAT', '100.64.0.1'],
  ['link-local', '169.254.1.1'],
  ['metadata of AWS, Google, Azure', '169.254.169.254'],
  ['metadata of ECS', '169.254.170.2'],
  ['metadata of Alibaba', '100.100.100.200'],
  ['metadata of Azure, a public address', '168.63.129.16'],
  ['metadata of Oracle', '192.0.0.192'],
  ['IETF protocols', '192.0.0.8'],
  ['documentation', '192.0.2.1'],
  ['documentation 2', '198.51.100.1'],
  ['documentation 3', '203.0.113.1'],
  ['6to4 relay', '192.88.99.1'],
  ['benchmarking', '198.18.0.1'],
  ['multicast', '224.0.0.1'],
  ['reserved', '240.0.0.1'],
  ['broadcast', '255.255.255.255'],
  ['v6 loopback', '::1'],
  ['v6 unspecified', '::'],
  ['v6 unique local', 'fd00::1'],
  ['v6 unique local, fc', 'fc00::1'],
  ['v6 link-local', 'fe80::1'],
  ['v6 site-local', 'fec0::1'],
  ['v6 multicast', 'ff02::1'],
  ['v6 documentation', '2001:db8::1'],
  ['v6 documentation 2', '3fff::1'],
  ['v6 discard', '100::1'],
  ['v6 benchmarking', '2001:2::1'],
  ['v6 segment routing', '5f00::1'],
  ['v6 not given out', '4000::1'],
  ['v6 metadata of AWS', 'fd00:ec2::254'],
  ['v6 metadata of Google', 'fd20:ce::254'],
  ['mapped loopback', '::ffff:127.0.0.1'],
  ['mapped loopback in hex', '::ffff:7f00:1'],
  ['mapped private', '::ffff:10.0.0.1'],
  ['mapped metadata', '::ffff:169.254.169.254'],
  ['compatible loopback', '::127.0.0.1'],
  ['compatible public', '::8.8.8.8'],
  ['translated loopback (SIIT)', '::ffff:0:127.0.0.1'],
  ['NAT64 loopback', '64:ff9b::127.0.0.1'],
  ['NAT64 private', '64:ff9b::10.0.0.1'],
  ['NAT64 metadata', '64:ff9b::a9fe:a9fe'],
  ['local NAT64', '64:ff9b:1::8.8.8.8'],
  ['metadata behind a NAT64 prefix of the network', '2a00:1450:4001:81b::a9fe:a9fe'],
  ['6to4 of loopback', '2002:7f00:1::'],
  ['6to4 of a private one', '2002:a00:1::'],
  ['6to4 of a public one', '2002:808:808::'],
  ['Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
  ['Teredo to loopback', '2001:0:4136:e378:8000:63bf:80ff:fffe'],
  ['ISATAP of a private one', '2a00:1450:4001:81b:0:5efe:10.0.0.1'],
];

const allowed: [kind: string, address: string][] = [
  ['public v4', '93.184.215.14'],
  ['just outside class B', '172.32.0.1'],
  ['just outside carrier-grade NAT', '100.128.0.1'],
  ['public v6', '2a00:1450:4001:81b::200e'],
  ['NAT64 of a public one', '64:ff9b::5db8:d70e'],
  ['mapped public', '::ffff:93.184.215.14'],
];

describe('addresses', () => {
  const guard = createGuard(closed);

  test.each(refused)('%s %s is refused', (_kind, address) => {
    expect(guard.checkAddress(address, 443)).toBeTypeOf('string');
  });

  test.each(allowed)('%s %s is allowed', (_kind, address) => {
    expect(guard.checkAddress(address, 443)).toBeUndefined();
  });

  test.each(refused)('%s %s is refused as a literal in the URL', (_kind, address) => {
    const host = address.includes(':') ? `[${address}]` : address;
    expect(guard.checkUrl(`https://${host}/`)).toHaveProperty('problem');
  });
});

describe('answers of DNS', () => {
  let target: Receiver;
  beforeAll(async () => (target = await startReceiver()));
  afterAll(() => target.close());

  /** Sends to a name whose answers are given, and to the receiver's port; nothing may arrive. */
  async function sendTo(addresses: string[], options: Partial<GuardOptions> = {}) {
    const sender = createSender({
      guard: { ...closed, allowHttp: true, allowedPorts: [target.port], ...options },
      resolve: () =>
        Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))),
    });
    try {
      return await sender.send(testRequest({ url: `http://hooks.example.com:${target.port}/` }));
    } finally {
      await sender.close();
    }
  }

  test.each(refused)('a name that leads to %s %s', async (_kind, address) => {
    const outcome = await sendTo([address]);
    expect(outcome.kind).toBe('forbidden');
    expect(target.received).toEqual([]);
  });

  test('one bad answer among good ones spoils them', async () => {
    expect((await sendTo(['93.184.215.14', '127.0.0.1'])).kind).toBe('forbidden');
    expect((await sendTo(['2a00:1450:4001:81b::200e', '::ffff:10.0.0.1'])).kind).toBe('forbidden');
    expect(target.received).toEqual([]);
  });

  test('no answer is no delivery', async () => {
    expect(await sendTo([])).toMatchObject({ kind: 'failed', reason: 'dns' });
  });

  test('the peer is judged once more when it is connected to: not even an opened address may lead elsewhere', async () => {
    // The system connects 0.0.0.0 to 127.0.0.1, which was never opened.
    const outcome = await sendTo(['0.0.0.0'], { allowPrivateNetworks: [{ cidr: '0.0.0.0/32' }] });
    expect(outcome).toMatchObject({ kind: 'forbidden', message: expect.stringContaining('127.0.0.1') });
    expect(target.received).toEqual([]);
  });

  test('the address that was judged is the one that is connected to: a second question is never asked', async () => {
    let questions = 0;
    const sender = createSender({
      guard: {
        ...closed,
        allowHttp: true,
        allowedPorts: [target.port],
        allowPrivateNetworks: [{ cidr: '127.0.0.1/32' }],
      },
      resolve: () => {
        questions += 1;
        // The first answer is good. A second query gets another address.
        return Promise.resolve([{ address: questions === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }]);
      },
    });
    const outcome = await sender.send(testRequest({ url: `http://rebind.example.com:${target.port}/` }));
    expect(outcome.kind).toBe('delivered');
    expect(questions).toBe(1);
    await sender.close();
  });

  test('a name that turns bad between two attempts is refused at the second', async () => {
    let address = '127.0.0.1';
    const closing = await startReceiver((response) => response.writeHead(200, { connection: 'close' }).end());
    const sender = createSender({
      guard: {
        ...closed,
        allowHttp: true,
        allowedPorts: [closing.port],
        allowPrivateNetworks: [{ cidr: '127.0.0.1/32' }],
      },
      resolve: () => Promise.resolve([{ address, family: 4 }]),
    });
    const request = testRequest({ url: `http://rebind.example.com:${closing.port}/` });
    expect((await sender.send(request)).kind).toBe('delivered');
    address = '127.0.0.2';
    expect((await sender.send(request)).kind).toBe('forbidden');
    expect(closing.received).toHaveLength(1);
    await sender.close();
    await closing.close();
  });
});

describe('what belongs to this process', () => {
  const open: GuardOptions = {
    allowHttp: true,
    allowPrivateNetworks: [{ cidr: '0.0.0.0/0' }, { cidr: '::/0' }],
    allowedPorts: [443, 3306, 8377],
    forbidden: [
      { address: '127.0.0.1', port: 8377 },
      { address: '10.1.2.3', port: 3306 },
      { address: 'db.clinic.example', port: 3306 },
      { address: '::', port: 443 },
    ],
  };
  const guard = createGuard(open);
  const ownAddress = Object.values(networkInterfaces())
    .flat()
    .find((entry) => entry?.internal === false)?.address;

  test.each([
    ['our own port', '127.0.0.1', 8377],
    ['our own port by another loopback address', '127.9.9.9', 8377],
    ['our own port by ::1', '::1', 8377],
    ['our own port by 0.0.0.0', '0.0.0.0', 8377],
    ['our own port, mapped', '::ffff:127.0.0.1', 8377],
    ["our own port by an interface's address", ownAddress ?? '127.0.0.1', 8377],
    ['the database', '10.1.2.3', 3306],
    ['the database, mapped', '::ffff:10.1.2.3', 3306],
    ['the database by NAT64', '64:ff9b::10.1.2.3', 3306],
    ['a port we listen on everywhere', '127.0.0.1', 443],
  ])('%s is refused with every network opened', (_kind, address, port) => {
    expect(guard.checkAddress(address, port)).toMatch(/never allowed/);
  });

  test.each([
    ['another port of this machine', '127.0.0.1', 3306],
    ["another machine's port", '10.1.2.4', 3306],
  ])('%s is allowed when opened', (_kind, address, port) => {
    expect(guard.checkAddress(address, port)).toBeUndefined();
  });

  test.each([
    ['another name for its address', 'http://alias.example.com'],
    ['its address', 'http://127.0.0.2'],
  ])('the database by %s, though the configuration has only its name', async (_kind, origin) => {
    const target = await startReceiver();
    const sender = createSender({
      guard: {
        ...open,
        allowedPorts: [target.port],
        forbidden: [{ address: 'db.clinic.example', port: target.port }],
      },
      resolve: () => Promise.resolve([{ address: '127.0.0.2', family: 4 }]),
    });
    const outcome = await sender.send(testRequest({ url: `${origin}:${target.port}/` }));
    expect(outcome).toMatchObject({
      kind: 'forbidden',
      message: expect.stringMatching(/its database: never/),
    });
    await sender.close();
    await target.close();
  });

  test('the database by its name', () => {
    expect(guard.checkUrl('http://DB.clinic.example.:3306/')).toHaveProperty('problem');
    expect(guard.checkUrl('http://db.clinic.example:8377/')).toHaveProperty('target');
  });

  test.each(refused.filter(([kind]) => kind.includes('metadata')))(
    '%s %s is refused with every network opened',
    (_kind, address) => {
      expect(guard.checkAddress(address, 443)).toMatch(/metadata/);
    },
  );
});
