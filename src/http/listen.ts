import { get } from 'node:http';
import { createServer } from 'node:net';
import { json } from 'node:stream/consumers';
import type { HttpConfig } from '../config/types.ts';
import { AppError, codeOf } from '../lib/errors.ts';
import { hostPort } from '../lib/host-port.ts';

type Place = Pick<HttpConfig, 'host' | 'port'>;

/** The result of probing `http.listen`: the address is free, a daemon of this program listens there, or the reason why listening fails. */
export type ListenFinding = 'free' | 'ours' | AppError;

/** Listens briefly, as `run` would. Port 0 is always free. */
export async function probeListen(place: Place): Promise<ListenFinding> {
  const error = await tryToListen(place);
  if (error === undefined) return 'free';
  if (codeOf(error) === 'EADDRINUSE' && (await answersAsOurs(place))) return 'ours';
  return explainListenError(error, place);
}

function tryToListen({ host, port }: Place): Promise<unknown> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}

const anyAddress: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };
const answerWithinMs = 3_000;

/** `/readyz` answers in a form that is unique to this program, and needs no token. */
async function answersAsOurs({ host, port }: Place): Promise<boolean> {
  try {
    const answer = await getJson({ host: anyAddress[host] ?? host, port, path: '/readyz' });
    const { status, reasons } = answer as { status?: unknown; reasons?: unknown };
    return (status === 'ready' || status === 'not ready') && Array.isArray(reasons);
  } catch {
    return false;
  }
}

function getJson(address: { host: string; port: number; path: string }): Promise<unknown> {
  return new Promise((resolve, reject) => {
    get({ ...address, agent: false, signal: AbortSignal.timeout(answerWithinMs) }, (response) => {
      json(response).then(resolve, reject);
    }).on('error', reject);
  });
}

/** ERR_PORT_IN_USE, or ERR_CONFIG for an address that this machine does not have or a port that this user may not open. */
export function explainListenError(error: unknown, place: Place): AppError {
  const code = codeOf(error);
  const { port } = place;
  if (code === 'EADDRINUSE') {
    return new AppError('ERR_PORT_IN_USE', `Something already listens on ${hostPort(place)}.`, {
      remedy: `Stop it (ss -ltnp 'sport = :${port}' shows it), or set http.listen to another port.`,
      cause: error,
    });
  }
  return new AppError(
    'ERR_CONFIG',
    `http.listen: ${hostPort(place)} cannot be listened on (${code ?? 'unknown reason'}).`,
    {
      remedy:
        'Set http.listen to an address of this machine, for example 127.0.0.1:8377, and a port above 1023.',
      cause: error,
    },
  );
}
