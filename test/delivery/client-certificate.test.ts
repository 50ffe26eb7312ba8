import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readClientCertificate } from '../../src/delivery/send/client-certificates.ts';
import { createSender, type Sender } from '../../src/delivery/send/send.ts';
import { authority, certificate, expiredCertificate, key } from '../hostile/certificates.ts';
import { testRequest } from '../hostile/request.ts';
import { waitFor } from '../support/wait-for.ts';

const otherKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
`;

describe('a receiver that demands a client certificate', () => {
  let folder: string;
  let files: { certFile: string; keyFile: string };
  let port: number;
  let sender: Sender;
  const names: unknown[] = [];
  const server = createServer(
    { key, cert: certificate, ca: authority, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const { socket } = request;
      names.push(socket instanceof TLSSocket && socket.getPeerCertificate().subject.CN);
      request.resume().on('end', () => response.end());
    },
  );

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'certificates-'));
    files = { certFile: join(folder, 'client.pem'), keyFile: join(folder, 'client.key') };
    await writeFile(files.certFile, certificate);
    await writeFile(files.keyFile, key);
    names.length = 0;
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
    sender = createSender({
      guard: {
        allowHttp: false,
        allowPrivateNetworks: [{ cidr: '127.0.0.0/8' }],
        allowedPorts: [port],
        forbidden: [],
      },
      resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]),
      ca: authority,
      clientCertificates: { bank: files },
    });
  });
  afterEach(async () => {
    await sender.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });

  const send = (clientCertificate: string | null) =>
    sender.send(testRequest({ url: `https://hooks.example.com:${port}/`, clientCertificate }));

  test('gets the one that the webhook names, and no other webhook uses its connection', async () => {
    expect(await send('bank')).toMatchObject({ kind: 'delivered', status: 200 });
    expect(names).toEqual(['hooks.example.com']);
    expect(await send(null)).toMatchObject({ kind: 'failed' });
    expect(await send('bank')).toMatchObject({ kind: 'delivered' });
    expect(names).toHaveLength(2);
  });

  test('gets the renewed one without a restart; while the files do not fit each other, the former counts', async () => {
    await writeFile(files.certFile, expiredCertificate);
    expect(await send('bank')).toMatchObject({ kind: 'failed' });
    await writeFile(files.certFile, certificate);
    await waitFor(async () => (await send('bank')).kind === 'delivered', { what: 'the renewed certificate' });
    await writeFile(files.keyFile, otherKey);
    const { mtimeMs } = statSync(files.keyFile);
    await waitFor(() => Date.now() - mtimeMs > 1_100, { what: 'the next look at the files' });
    expect(await send('bank')).toMatchObject({ kind: 'delivered' });
  });

  test('a name that there is not, and files that cannot be used, are named', async () => {
    expect(await send('bnk')).toMatchObject({
      kind: 'failed',
      reason: 'local',
      message: expect.stringContaining('delivery.client_certificates.bnk cannot be used'),
    });
    await writeFile(files.keyFile, otherKey);
    expect(() => readClientCertificate('bank', files)).toThrow(
      'delivery.client_certificates.bank cannot be used: the key is not that of the certificate',
    );
    await rm(files.keyFile);
    expect(() => readClientCertificate('bank', files)).toThrow(/bank cannot be used: .*ENOENT/);
  });
});
