import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { createGuard, type GuardOptions } from '../../src/delivery/send/guard.ts';
import { createSender } from '../../src/delivery/send/send.ts';
import { AppError } from '../../src/lib/errors.ts';
import { startReceiver } from '../delivery/receiver.ts';
import { described } from './misbehaviour.ts';
import { testRequest } from './request.ts';

const closed: GuardOptions = {
  allowHttp: false,
  allowPrivateNetworks: [],
  allowedPorts: [443],
  forbidden: [],
};

describe('opened networks', () => {
  test.each([
    ['an address inside', ['10.0.0.0/8'], 'https://10.1.2.3/', true],
    ['an address outside', ['10.0.0.0/8'], 'https://11.1.2.3/', true],
    ['a private address outside', ['10.0.0.0/8'], 'https://192.168.1.1/', false],
    ['a mapped address inside', ['10.0.0.0/8'], 'https://[::ffff:10.1.2.3]/', true],
    ['a 6to4 address of one inside', ['10.0.0.0/8'], 'https://[2002:a01:203::]/', false],
    ['loopback, opened', ['127.0.0.0/8'], 'https://127.0.0.1/', true],
    ['v6 loopback with v4 loopback opened', ['127.0.0.0/8'], 'https://[::1]/', false],
    ['v6 loopback, opened', ['::1/128'], 'https://[::1]/', true],
    ['localhost, loopback opened', ['127.0.0.0/8'], 'https://localhost/', true],
    ['an internal name, something opened', ['10.0.0.0/8'], 'https://billing.clinic.internal/', true],
    ['metadata, everything opened', ['0.0.0.0/0', '::/0'], 'https://169.254.169.254/', false],
    [
      'metadata by its name, everything opened',
      ['0.0.0.0/0', '::/0'],
      'https://metadata.google.internal/',
      false,
    ],
    ['another port', ['10.0.0.0/8'], 'https://10.1.2.3:8443/', false],
  ])('%s', (_kind, cidrs, url, good) => {
    const guard = createGuard({ ...closed, allowPrivateNetworks: cidrs.map((cidr) => ({ cidr })) });
    expect('target' in guard.checkUrl(url)).toBe(good);
  });

  test.each([
    ['its port, in the network', 'https://10.1.2.3:8443/', true],
    ['its port, elsewhere', 'https://93.184.215.14:8443/', false],
    ['the common port, in the network', 'https://10.1.2.3/', false],
    ['its port, by an internal name', 'https://billing.clinic.internal:8443/', true],
  ])('a network with a port opens that pair only: %s', (_kind, url, good) => {
    const guard = createGuard({ ...closed, allowPrivateNetworks: [{ cidr: '10.0.0.0/8', port: 8443 }] });
    expect('target' in guard.checkUrl(url)).toBe(good);
  });

  test('an internal name is still judged by its address', async () => {
    const sender = createSender({
      guard: { ...closed, allowPrivateNetworks: [{ cidr: '10.0.0.0/8' }] },
      resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]),
    });
    expect(described(await sender.send(testRequest({ url: 'https://billing.clinic.internal/' })))).toBe(
      'forbidden',
    );
    await sender.close();
  });

  test.each(['10.0.0.0', '10.0.0.0/33', 'ten', '', '10.0.0.0/8:443', '::/129'])(
    'a network that cannot be read is refused at start: %s',
    (cidr) => {
      expect(() => createGuard({ ...closed, allowPrivateNetworks: [{ cidr }] })).toThrow(AppError);
    },
  );
});

describe('proxies', () => {
  test('the environment alone changes nothing: without the option we connect directly', async () => {
    const target = await startReceiver();
    const guard = {
      ...closed,
      allowHttp: true,
      allowPrivateNetworks: [{ cidr: '127.0.0.0/8', port: target.port }],
    };
    process.env['http_proxy'] = 'http://127.0.0.1:9';
    const sender = createSender({ guard });
    const outcome = await sender.send(testRequest({ url: target.url }));
    delete process.env['http_proxy'];
    expect(described(outcome)).toBe('delivered');
    await sender.close();
    await target.close();
  });

  test('through a proxy that is the guard every request is tunnelled, names unresolved', async () => {
    const target = await startReceiver();
    const asked: string[] = [];
    const proxy = createServer().on('connect', (request, client) => {
      asked.push(request.url ?? '');
      const upstream = connect(target.port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.pipe(client).pipe(upstream);
      });
      upstream.on('error', () => client.destroy());
      client.on('error', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const senderBehind = (exempt: string[], resolve: () => Promise<never>) =>
      createSender({
        guard: {
          ...closed,
          allowHttp: true,
          allowedPorts: [80],
          proxies: { https: null, http: proxyUrl, exempt },
        },
        resolve,
      });
    const sender = senderBehind([], () => Promise.reject(new Error('must not be asked')));
    expect(described(await sender.send(testRequest({ url: 'http://hooks.example.com/hook' })))).toBe(
      'delivered',
    );
    expect(described(await sender.send(testRequest({ url: 'http://127.0.0.1/hook' })))).toBe('forbidden');
    expect(asked).toEqual(['hooks.example.com:80']);
    expect(target.received[0]?.headers.host).toBe('hooks.example.com');
    await sender.close();
    // What NO_PROXY names is looked up and checked here, and connected to directly.
    const notFound = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    const direct = senderBehind(['.example.com:80'], () => Promise.reject(notFound));
    expect(described(await direct.send(testRequest({ url: 'http://hooks.example.com/hook' })))).toBe(
      'failed: dns',
    );
    expect(asked).toHaveLength(1);
    await direct.close();
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
    await target.close();
  });
});
