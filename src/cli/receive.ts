import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Command } from 'commander';
import { parseExactJson } from '../lib/exact-json.ts';
import { inspectSignatures, type SignatureCheck } from '../delivery/send/signature.ts';
import { sleep } from '../lib/clock.ts';
import { parseDuration } from '../lib/duration.ts';
import { AppError, codeOf, messageOf } from '../lib/errors.ts';
import { checkSecret } from '../lib/secret.ts';
import { onInterrupt } from './process/interrupt.ts';
import { escapeJson } from '../lib/terminal-text.ts';
import { printError, printExact } from './terminal/output.ts';

const maximumBodyBytes = 64 * 2 ** 20;
const rememberedIds = 10_000;

export interface ReceiveOptions {
  host: string;
  /** 0 for any free port. */
  port: number;
  /** Without a secret no signature is verified. */
  secret: string | undefined;
  /** The status to answer; default 200, or 401 if a signature is not valid. */
  status: number | undefined;
  delayMs: number;
  json: boolean;
}

/** One request in the form that `--json` prints. */
export interface ReceivedWebhook {
  receivedAt: string;
  id: string | null;
  event: string | null;
  /** Number of earlier requests with this id. */
  copies: number;
  /** Null when no secret was given. */
  verified: boolean | null;
  standard: SignatureCheck | null;
  legacy: SignatureCheck | null;
  answered: number;
  body: string;
}

const faults: Readonly<Record<Exclude<SignatureCheck, 'valid'>, string>> = {
  mismatch: 'does not match: another secret, or the body was changed on the way',
  expired: 'matches, but webhook-timestamp is more than 5 minutes from the clock here',
  malformed: 'cannot be read',
  missing: 'is missing',
};

/** The failed signatures and why; empty if both are valid, or if the standard one is valid and the legacy one is switched off. */
function describeFaults({
  standard,
  legacy,
}: {
  standard: SignatureCheck;
  legacy: SignatureCheck;
}): string[] {
  const problems: string[] = [];
  if (standard !== 'valid') problems.push(`webhook-signature ${faults[standard]}`);
  if (legacy !== 'valid' && legacy !== 'missing') problems.push(`x-webhook-signature ${faults[legacy]}`);
  return problems;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maximumBodyBytes) throw new Error('the body is larger than 64 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function headerOf(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === 'string' ? value : null;
}

function toReceived(
  request: IncomingMessage,
  body: Buffer,
  options: ReceiveOptions,
): Omit<ReceivedWebhook, 'copies'> {
  const checks =
    options.secret === undefined
      ? undefined
      : inspectSignatures({ body, headers: request.headers, secret: options.secret });
  const verified = checks === undefined ? null : describeFaults(checks).length === 0;
  return {
    receivedAt: new Date().toISOString(),
    id: headerOf(request, 'webhook-id'),
    event: headerOf(request, 'x-webhook-event'),
    verified,
    standard: checks?.standard ?? null,
    legacy: checks?.legacy ?? null,
    answered: options.status ?? (verified === false ? 401 : 200),
    body: body.toString(),
  };
}

function indent(body: string): string {
  try {
    body = JSON.stringify(parseExactJson(body), null, 2);
  } catch {
    // Not JSON: shown unchanged.
  }
  return body.replaceAll(/^/gm, '    ');
}

/**
 * A webhook as text for the terminal: its type, whether it is genuine, and its body.
 */
export function formatReceived(received: ReceivedWebhook): string {
  const { standard, legacy } = received;
  const checks = standard === null || legacy === null ? undefined : { standard, legacy };
  const problems = checks === undefined ? [] : describeFaults(checks);
  const verdict =
    checks === undefined
      ? 'not verified (no --secret)'
      : problems.length > 0
        ? 'NOT GENUINE'
        : legacy === 'missing'
          ? 'webhook-signature valid'
          : 'both signatures valid';
  const again = received.copies > 0 ? `, seen ${received.copies} times before` : '';
  return [
    `${received.receivedAt}  ${received.event ?? '(no x-webhook-event)'}  ${received.id ?? '(no webhook-id)'}`,
    `  ${verdict}${again}; answered ${received.answered}`,
    ...problems.map((problem) => `  ${problem}`),
    indent(received.body),
  ].join('\n');
}

/** Counts the earlier occurrences of each of the last 10,000 ids. */
function createCopyCounter(): (id: string | null) => number {
  const seen = new Map<string, number>();
  return (id) => {
    if (id === null) return 0;
    const copies = seen.get(id) ?? 0;
    seen.delete(id);
    seen.set(id, copies + 1);
    if (seen.size > rememberedIds) seen.delete(seen.keys().next().value!);
    return copies;
  };
}

/** Starts to listen and returns the URL. Throws AppError ERR_PORT_IN_USE, ERR_USAGE. */
async function listen(server: Server, { host, port }: ReceiveOptions): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  }).catch((error: unknown) => {
    if (codeOf(error) === 'EADDRINUSE') {
      throw new AppError('ERR_PORT_IN_USE', `Port ${port} of ${host} is in use`, {
        remedy: 'Choose another one with --port, or --port 0 for any that is free.',
        cause: error,
      });
    }
    throw new AppError('ERR_USAGE', `Cannot listen on port ${port} of ${host}: ${messageOf(error)}`, {
      remedy: 'Choose an address of this machine with --host and a port above 1023 with --port.',
      cause: error,
    });
  });
  const { address, port: bound, family } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}/`;
}

/**
 * Receives webhooks until the signal aborts, and reports each to `tell`. Resolves when the port is free again.
 * @throws AppError ERR_PORT_IN_USE, ERR_USAGE
 */
export async function receive(
  options: ReceiveOptions,
  signal: AbortSignal,
  tell: { listening(url: string): void; received(webhook: ReceivedWebhook): void },
): Promise<void> {
  const countCopy = createCopyCounter();
  const server = createServer((request, response) => {
    readBody(request)
      .then(async (body) => {
        const received = toReceived(request, body, options);
        await sleep(options.delayMs, signal);
        tell.received({ ...received, copies: countCopy(received.id) });
        response.writeHead(received.answered).end();
      })
      .catch(() => response.destroy());
  });
  tell.listening(await listen(server, options));
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function parseWhole(text: string, name: string, [least, most]: [number, number]): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new AppError('ERR_USAGE', `${name} must be a whole number from ${least} to ${most}, not ${text}`);
}

interface Flags {
  host: string;
  port: string;
  secret?: string;
  status?: string;
  delay: string;
  json?: true;
}

function toOptions(flags: Flags): ReceiveOptions {
  const delayMs = parseDuration(flags.delay);
  if (delayMs === undefined) {
    throw new AppError('ERR_USAGE', `--delay must be a duration such as 500ms or 2s, not ${flags.delay}`);
  }
  const problem = flags.secret === undefined ? undefined : checkSecret(flags.secret);
  if (problem !== undefined) {
    throw new AppError('ERR_USAGE', `--secret: ${problem}`, {
      remedy: 'Give the secret as it was shown when the webhook was created: whsec_ and 64 characters.',
    });
  }
  return {
    host: flags.host,
    port: parseWhole(flags.port, '--port', [0, 65_535]),
    secret: flags.secret,
    status: flags.status === undefined ? undefined : parseWhole(flags.status, '--status', [200, 599]),
    delayMs,
    json: flags.json ?? false,
  };
}

/** `receive`: a receiver for tests by hand. */
export function receiveCommand(): Command {
  return new Command('receive')
    .description('Print the webhooks that arrive at a local port and verify them.')
    .option('--port <number>', 'port to listen on; 0 for any that is free', '9000')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--secret <secret>', "the webhook's signing secret; without it nothing is verified")
    .option('--status <code>', 'answer this, whatever arrives (default: 200, or 401 when not genuine)')
    .option('--delay <duration>', 'wait before answering', '0s')
    .option('--json', 'one line of JSON for each webhook')
    .addHelpText(
      'after',
      `
Examples:
  $ odontology-webhooks receive --port 9000 --secret whsec_…
  $ odontology-webhooks receive --status 503 --delay 2s      # misbehave, to see retries
  $ odontology-webhooks receive --json | jq .event

To have webhooks delivered here, the configuration must allow it:
  delivery: { allow_http: true, allow_private_networks: [127.0.0.0/8], allowed_ports: [443, 9000] }`,
    )
    .action(async (flags: Flags) => {
      const options = toOptions(flags);
      using interrupt = onInterrupt();
      await receive(options, interrupt.signal, {
        // Standard output contains only webhooks, so that it can be piped.
        listening: (url) => printError(`Listening on ${url}, Ctrl-C ends it.`),
        received: (webhook) =>
          printExact(options.json ? escapeJson(JSON.stringify(webhook)) : formatReceived(webhook)),
      });
    });
}
