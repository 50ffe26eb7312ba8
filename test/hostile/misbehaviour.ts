import { gzipSync } from 'node:zlib';
import type { Outcome } from '../../src/delivery/types.ts';
import { drip, type Misbehave, writeForever } from './hostile-server.ts';

/** How an attempt must end: its kind, and where there is no answer its reason. */
export type Expected = Outcome['kind'] | `failed: ${string}`;

export interface Misbehaviour {
  name: string;
  expected: Expected;
  /** Whether it holds its slot until the deadline. */
  slow?: true;
  act: Misbehave;
}

const head = (status: string, ...headers: string[]): string =>
  [`HTTP/1.1 ${status}`, ...headers, '', ''].join('\r\n');

const sends =
  (text: string | Buffer): Misbehave =>
  (socket) =>
    socket.write(text);

const sendsAndEnds =
  (text: string | Buffer): Misbehave =>
  (socket) =>
    socket.end(text);

const sendsAndResets =
  (text: string): Misbehave =>
  (socket) =>
    socket.write(text, () => socket.resetAndDestroy());

const sendsForever =
  (first: string, then: string | Buffer): Misbehave =>
  (socket) => {
    socket.write(first);
    writeForever(socket, then);
  };

const large = 'x'.repeat(65_536);
const bomb = gzipSync(Buffer.alloc(50 * 2 ** 20));

/** Responses, each wrong or wicked in one way. */
export const misbehaviours: Misbehaviour[] = [
  // Bodies.
  { name: 'an endless body after 200', expected: 'delivered', act: sendsForever(head('200 OK'), large) },
  { name: 'an endless body after 500', expected: 'rejected', act: sendsForever(head('500 Oops'), large) },
  {
    name: 'an endless chunked body',
    expected: 'delivered',
    act: sendsForever(head('200 OK', 'transfer-encoding: chunked'), `10000\r\n${large}\r\n`),
  },
  {
    name: 'a body of 4 GB announced, and sent',
    expected: 'delivered',
    act: sendsForever(head('200 OK', 'content-length: 4294967296'), large),
  },
  {
    name: 'a compression bomb',
    expected: 'delivered',
    act: sends(
      Buffer.concat([
        Buffer.from(head('200 OK', 'content-encoding: gzip', `content-length: ${bomb.length}`)),
        bomb,
      ]),
    ),
  },
  {
    name: 'a dripping body',
    expected: 'failed: timeout',
    slow: true,
    act: (socket) => {
      socket.write(head('200 OK', 'content-length: 100000'));
      drip(socket, 'x', 10);
    },
  },
  {
    name: 'a body that stops',
    expected: 'failed: timeout',
    slow: true,
    act: sends(`${head('200 OK', 'content-length: 10')}12345`),
  },
  {
    name: 'a body cut by FIN',
    expected: 'failed: reset',
    act: sendsAndEnds(`${head('200 OK', 'content-length: 10')}12345`),
  },
  {
    name: 'a body cut by RST',
    expected: 'failed: reset',
    act: sendsAndResets(`${head('200 OK', 'content-length: 10')}12345`),
  },
  {
    name: 'a chunked body cut by FIN',
    expected: 'failed: reset',
    act: sendsAndEnds(`${head('200 OK', 'transfer-encoding: chunked')}5\r\n12345\r\n`),
  },
  {
    name: 'a body that is not UTF-8',
    expected: 'delivered',
    act: sends(Buffer.from(`${head('200 OK', 'content-length: 3')}\xff\x00\xfe`, 'latin1')),
  },
  // Framing.
  {
    name: 'a length and chunks',
    expected: 'failed: protocol',
    act: sends(`${head('200 OK', 'content-length: 5', 'transfer-encoding: chunked')}0\r\n\r\n`),
  },
  {
    name: 'two lengths',
    expected: 'failed: protocol',
    act: sends(`${head('200 OK', 'content-length: 2', 'content-length: 5')}12345`),
  },
  {
    name: 'a negative length',
    expected: 'failed: protocol',
    act: sends(head('200 OK', 'content-length: -1')),
  },
  {
    name: 'a length beyond 64 bits',
    expected: 'failed: protocol',
    act: sends(head('200 OK', 'content-length: 99999999999999999999999')),
  },
  {
    name: 'a chunk size that is no number',
    expected: 'failed: protocol',
    act: sends(`${head('200 OK', 'transfer-encoding: chunked')}zz\r\n`),
  },
  {
    name: 'a chunk size beyond 64 bits',
    expected: 'failed: protocol',
    act: sends(`${head('200 OK', 'transfer-encoding: chunked')}ffffffffffffffffff\r\n`),
  },
  {
    name: 'an endless chunk extension',
    expected: 'failed: timeout',
    slow: true,
    act: (socket) => {
      socket.write(`${head('200 OK', 'transfer-encoding: chunked')}5;`);
      drip(socket, 'x', 5);
    },
  },
  {
    name: 'endless trailers',
    expected: 'failed: protocol',
    act: sendsForever(
      `${head('200 OK', 'transfer-encoding: chunked')}0\r\n`,
      `x-trailer: ${'x'.repeat(1_000)}\r\n`,
    ),
  },
  // Heads.
  { name: 'no answer', expected: 'failed: timeout', slow: true, act: () => undefined },
  {
    name: 'a dripping head',
    expected: 'failed: timeout',
    slow: true,
    act: (socket) => drip(socket, head('200 OK'), 50),
  },
  {
    name: 'an endless header',
    expected: 'failed: protocol',
    act: sendsForever('HTTP/1.1 200 OK\r\nx-header: ', large),
  },
  {
    name: 'endless headers',
    expected: 'failed: protocol',
    act: sendsForever('HTTP/1.1 200 OK\r\n', 'x-header: x\r\n'.repeat(100)),
  },
  {
    name: 'headers of 20 KB',
    expected: 'failed: protocol',
    act: sends(head('200 OK', `x-header: ${'x'.repeat(20_000)}`)),
  },
  {
    name: 'a NUL in a header',
    expected: 'failed: protocol',
    act: sends(head('200 OK', 'x-header: a\u0000b')),
  },
  {
    name: 'a bare CR in a header',
    expected: 'failed: protocol',
    act: sends(head('200 OK', 'x-header: a\rb')),
  },
  {
    name: 'a space before the colon',
    expected: 'failed: protocol',
    act: sends(head('200 OK', 'x-header : a')),
  },
  { name: 'a header without a name', expected: 'failed: protocol', act: sends(head('200 OK', ': a')) },
  {
    name: 'garbage',
    expected: 'failed: protocol',
    act: sends(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00])),
  },
  { name: 'HTTP/2', expected: 'failed: protocol', act: sends(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])) },
  { name: 'HTTP/0.9', expected: 'failed: protocol', act: sendsAndEnds('<html>hello</html>') },
  { name: 'HTTP/9.9', expected: 'failed: protocol', act: sends('HTTP/9.9 200 OK\r\n\r\n') },
  { name: 'SSH', expected: 'failed: protocol', act: sends('SSH-2.0-OpenSSH_9.2p1\r\n') },
  { name: 'a status of one digit', expected: 'failed: protocol', act: sends('HTTP/1.1 2 OK\r\n\r\n') },
  { name: 'a status of no digits', expected: 'failed: protocol', act: sends('HTTP/1.1 abc OK\r\n\r\n') },
  { name: 'status 999', expected: 'rejected', act: sends(head('999 What', 'content-length: 0')) },
  { name: 'FIN instead of an answer', expected: 'failed: reset', act: (socket) => socket.end() },
  { name: 'RST instead of an answer', expected: 'failed: reset', act: (socket) => socket.resetAndDestroy() },
  { name: 'RST in the head', expected: 'failed: reset', act: sendsAndResets('HTTP/1.1 200 OK\r\nx-hea') },
  // Interim answers.
  {
    name: 'a flood of 103',
    expected: 'failed: protocol',
    act: sendsForever('', head('103 Early Hints', 'link: x').repeat(100)),
  },
  {
    name: 'a flood of 102',
    expected: 'failed: protocol',
    act: sendsForever('', head('102 Processing').repeat(100)),
  },
  {
    name: 'a few 103 and an answer',
    expected: 'delivered',
    act: sends(head('103 Early Hints').repeat(3) + head('200 OK', 'content-length: 0')),
  },
  {
    name: '101 to an unrequested protocol',
    expected: 'failed: reset',
    act: sends(head('101 Switching Protocols', 'upgrade: websocket', 'connection: upgrade')),
  },
  {
    name: 'an unrequested 100',
    expected: 'failed: reset',
    act: sends(head('100 Continue') + head('200 OK', 'content-length: 0')),
  },
  // Status.
  ...[301, 302, 303, 307, 308].map((status): Misbehaviour => ({
    name: `${status} to the metadata service`,
    expected: 'rejected',
    act: sends(
      head(`${status} Moved`, 'location: http://169.254.169.254/latest/meta-data/', 'content-length: 0'),
    ),
  })),
  { name: '300 without a place', expected: 'rejected', act: sends(head('300 Choices', 'content-length: 0')) },
  { name: '304', expected: 'rejected', act: sends(head('304 Not Modified')) },
  {
    name: '204 with a body',
    expected: 'delivered',
    act: sendsAndEnds(`${head('204 No Content', 'content-length: 5')}12345`),
  },
  { name: '410', expected: 'gone', act: sends(head('410 Gone', 'content-length: 0')) },
  {
    name: '429 with Retry-After of a century',
    expected: 'rejected',
    act: sends(head('429 Slow', 'retry-after: 3153600000', 'content-length: 0')),
  },
  {
    name: '503 with a Retry-After that is neither',
    expected: 'rejected',
    act: sends(head('503 No', 'retry-after: -1e9', 'content-length: 0')),
  },
  {
    name: '503 with two Retry-After',
    expected: 'rejected',
    act: sends(head('503 No', 'retry-after: 1', 'retry-after: 2', 'content-length: 0')),
  },
];

/** The outcome in the form of `Expected`. */
export function described(outcome: Outcome): string {
  return outcome.kind === 'failed' ? `failed: ${outcome.reason}` : outcome.kind;
}
