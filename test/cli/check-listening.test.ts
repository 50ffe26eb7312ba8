import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { checkListening } from '../../src/cli/check/listening.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { startTestApi } from '../http/support.ts';

describe('the line of check about http.listen', () => {
  let other: Server | undefined;
  afterEach(() => other?.close());

  async function listenWith(answer: string): Promise<number> {
    other = createServer((_request, response) => response.end(answer)).listen(0, '127.0.0.1');
    await once(other, 'listening');
    return (other.address() as AddressInfo).port;
  }

  it('passes where run can listen, and leaves the address free', async () => {
    const port = await listenWith('');
    other!.close();
    await once(other!, 'close');
    for (const each of [port, port, 0])
      expect(await checkListening({ host: '127.0.0.1', port: each })).toMatchObject({
        line: { id: 'http-listen', level: 'pass', detail: `127.0.0.1:${each} can be listened on.` },
        mistake: null,
      });
  });

  it('passes where a daemon of ours answers', async () => {
    const api = await startTestApi({ vault: { store: undefined as never, cipher: clearCipher } });
    const port = Number(new URL(api.http.url).port);
    const { line, mistake } = await checkListening({ host: '127.0.0.1', port });
    await api.stop();
    expect(line).toMatchObject({ level: 'pass', detail: `A running daemon answers on 127.0.0.1:${port}.` });
    expect(mistake).toBeNull();
  });

  it.each(['', 'hello', '{}', '{"status":"ok"}', 'null', '{"status":"ready"}'])(
    'fails as run does where another program answers %j',
    async (answer) => {
      const port = await listenWith(answer);
      const { line, mistake } = await checkListening({ host: '127.0.0.1', port });
      expect(mistake).toMatchObject({ code: 'ERR_PORT_IN_USE', exitCode: 1 });
      expect(line).toMatchObject({ level: 'fail', remedy: mistake!.remedy });
      expect(line.detail).toContain(`127.0.0.1:${port}`);
    },
  );

  it('fails with the exit code of a configuration for an address that this machine does not have', async () => {
    const { line, mistake } = await checkListening({ host: '192.0.2.1', port: 8377 });
    expect(line.level).toBe('fail');
    expect(mistake).toMatchObject({ code: 'ERR_CONFIG', exitCode: 2 });
  });
});
