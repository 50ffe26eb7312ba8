import { describe, expect, test } from 'vitest';
import { checkWebhookUrl, createGuard, type GuardOptions } from '../../src/delivery/send/guard.ts';
import { createSender } from '../../src/delivery/send/send.ts';
import { startReceiver } from '../delivery/receiver.ts';
import { testRequest } from './request.ts';

const closed: GuardOptions = {
  allowHttp: false,
  allowPrivateNetworks: [],
  allowedPorts: [443],
  forbidden: [],
};
const withHttp: GuardOptions = { ...closed, allowHttp: true, allowedPorts: [80, 443] };

const refused: [kind: string, url: string][] = [
  ['empty', ''],
  ['no URL', 'not a url'],
  ['relative', '/hook'],
  ['without a scheme', 'hooks.example.com/'],
  ['http', 'http://hooks.example.com/'],
  ['ftp', 'ftp://hooks.example.com/'],
  ['file', 'file:///etc/passwd'],
  ['gopher', 'gopher://hooks.example.com/'],
  ['javascript', 'javascript:alert(1)'],
  ['data', 'data:text/plain,hello'],
  ['web socket', 'wss://hooks.example.com/'],
  ['a Unix socket', 'unix:///var/run/docker.sock'],
  ['a user name', 'https://user@hooks.example.com/'],
  ['a user name and a password', 'https://user:password@hooks.example.com/'],
  ['a host that looks like a user name', 'https://hooks.example.com@127.0.0.1/'],
  ['another port', 'https://hooks.example.com:8443/'],
  ['the port of SSH', 'https://hooks.example.com:22/'],
  ['port 0', 'https://hooks.example.com:0/'],
  ['a port out of range', 'https://hooks.example.com:65536/'],
  ['a line end', 'https://hooks.example.com/\r\nx-injected: 1'],
  ['a line end in the host', 'https://hooks.exam\nple.com/'],
  ['a tab', 'https://hooks.example.com/\t'],
  ['a NUL', 'https://hooks.example.com/\u0000'],
  ['a space before', ' https://hooks.example.com/'],
  ['a space inside', 'https://hooks.example.com/a b'],
  ['a soft hyphen in the host', 'https://local\u00adhost/'],
  ['a letter that turns the direction', 'https://hooks.example.com/\u202egpj'],
  ['a backslash', 'https://hooks.example.com\\@127.0.0.1/'],
  ['localhost', 'https://localhost/'],
  ['LOCALHOST', 'https://LOCALHOST/'],
  ['localhost with a dot', 'https://localhost./'],
  ['below localhost', 'https://app.localhost/'],
  ['localhost.localdomain', 'https://localhost.localdomain/'],
  ['full-width localhost', 'https://ｌｏｃａｌｈｏｓｔ/'],
  ['percent-encoded localhost', 'https://%6c%6f%63%61%6c%68%6f%73%74/'],
  ['a name without a dot', 'https://intranet/'],
  ['a name without a dot, dotted', 'https://db./'],
  ['.local', 'https://printer.local/'],
  ['.internal', 'https://api.prod.internal/'],
  ['.internal with a dot', 'https://api.prod.internal./'],
  ['.lan', 'https://nas.lan/'],
  ['.corp', 'https://mail.corp/'],
  ['.home.arpa', 'https://router.home.arpa/'],
  ['.cluster.local', 'https://kubernetes.default.svc.cluster.local/'],
  ['metadata by its name', 'https://metadata.google.internal/'],
  ['v4 decimal', 'https://2130706433/'],
  ['v4 hexadecimal', 'https://0x7f000001/'],
  ['v4 octal', 'https://0177.0.0.1/'],
  ['v4 mixed', 'https://0x7f.0.0.1/'],
  ['v4 short', 'https://127.1/'],
  ['v4 shorter', 'https://0/'],
  ['v4 with a dot', 'https://127.0.0.1./'],
  ['v4 percent-encoded', 'https://%31%32%37.0.0.1/'],
  ['v4 in full-width digits', 'https://１２７.０.０.１/'],
  ['v4 in circled digits', 'https://①②⑦.⓪.⓪.①/'],
  ['v4 with ideographic dots', 'https://127。0。0。1/'],
  ['v6 loopback', 'https://[::1]/'],
  ['v6 loopback in full', 'https://[0:0:0:0:0:0:0:1]/'],
  ['v6 mapped', 'https://[::ffff:127.0.0.1]/'],
  ['v6 with a zone', 'https://[fe80::1%25eth0]/'],
  ['metadata in decimal', 'https://2852039166/'],
  ['too long', `https://hooks.example.com/${'a'.repeat(2_048)}`],
];

const allowed: [kind: string, url: string][] = [
  ['plain', 'https://hooks.example.com/webhooks/payments'],
  ['with its port', 'https://hooks.example.com:443/'],
  ['with a query', 'https://hooks.example.com/?token=abc&x=1'],
  ['with a dot at the end', 'https://hooks.example.com./'],
  ['an international name', 'https://clínica.example.com/'],
  ['a public address', 'https://93.184.215.14/'],
];

/** What a URL parser would rewrite: refused when a webhook is saved, with what to write. */
const rewritten: [kind: string, url: string, write: string][] = [
  ['a brace', 'https://hooks.example.com/{id}', '%7B'],
  ['a quotation mark', 'https://hooks.example.com/?q="x"', '%22'],
  ['a less-than sign', 'https://hooks.example.com/<x', '%3C'],
  ['a bar', 'https://hooks.example.com/?a|b', '%7C'],
  ['a caret', 'https://hooks.example.com/a^b', '%5E'],
  ['a backtick', 'https://hooks.example.com/`', '%60'],
  ['a bracket', 'https://hooks.example.com/?a[]=1', '%5B'],
  ['a letter beyond ASCII in the path', 'https://hooks.example.com/citas/año', '%C3%B1'],
  ['an emoji in the query', 'https://hooks.example.com/?t=🦷', '%F0%9F%A6%B7'],
  ['a percent sign alone', 'https://hooks.example.com/100%', '%25'],
  ['a parent segment', 'https://hooks.example.com/a/../b', 'the path that is meant'],
  ['an encoded parent segment', 'https://hooks.example.com/a/%2E%2e', 'the path that is meant'],
  ['a dot segment', 'https://hooks.example.com/./a', 'the path that is meant'],
  ['a fragment', 'https://hooks.example.com/a#b', 'remove it'],
  ['no slashes', 'https:hooks.example.com/a', 'https://'],
  ['one slash', 'https:/hooks.example.com/a', 'https://'],
];

/** Sent byte for byte. */
const verbatim: [path: string, sent: string][] = [
  ['', '/'],
  ['/', '/'],
  ['/hook?', '/hook?'],
  ['?', '/?'],
  ['?a=1', '/?a=1'],
  ["/it's", "/it's"],
  ["/a?b='c'", "/a?b='c'"],
  ['/a//b', '/a//b'],
  ['/a?b=../c', '/a?b=../c'],
  ['/.well-known/..a', '/.well-known/..a'],
  ['/a%2Fb%c3%b1', '/a%2Fb%c3%b1'],
  ["/!$&'()*+,;=:@-._~?/?", "/!$&'()*+,;=:@-._~?/?"],
];

describe('URLs', () => {
  test.each(rewritten)('with %s is refused with what to write: %s', (_kind, url, write) => {
    const problems = checkWebhookUrl(url, closed);
    expect(problems).toEqual([expect.stringContaining(write)]);
  });

  test.each(verbatim)('the path is sent as it is written: %s', async (path, sent) => {
    const receiver = await startReceiver();
    const origin = `http://127.0.0.1:${receiver.port}`;
    const guard = {
      ...withHttp,
      allowPrivateNetworks: [{ cidr: '127.0.0.1/32', port: receiver.port }],
    };
    expect(checkWebhookUrl(origin + path, guard)).toEqual([]);
    const sender = createSender({ guard });
    await sender.send(testRequest({ url: origin + path }));
    await sender.close();
    await receiver.close();
    expect(receiver.received.map((request) => request.path)).toEqual([sent]);
  });

  test.each(refused)('%s is refused: %s', (_kind, url) => {
    const problems = checkWebhookUrl(url, closed);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toBeTypeOf('string');
  });

  test.each(refused)('%s is refused at the attempt as well: %s', async (_kind, url) => {
    const sender = createSender({
      guard: closed,
      resolve: () => Promise.reject(new Error('must not be asked')),
    });
    expect((await sender.send(testRequest({ url }))).kind).toBe('forbidden');
    await sender.close();
  });

  test.each(allowed)('%s is allowed: %s', (_kind, url) => {
    expect(checkWebhookUrl(url, closed)).toEqual([]);
  });

  test.each([
    ['http', 'http://hooks.example.com/', true],
    ['http on the port of https', 'http://hooks.example.com:443/', true],
    ['http to loopback', 'http://127.0.0.1/', false],
    ['http on another port', 'http://hooks.example.com:8080/', false],
    ['ftp', 'ftp://hooks.example.com/', false],
  ])('with allow_http: %s', (_kind, url, good) => {
    expect(checkWebhookUrl(url, withHttp).length === 0).toBe(good);
  });

  test('what is connected to is what was judged: host, port and path come from one parse', () => {
    const verdict = createGuard(withHttp).checkUrl('http://EXAMPLE.com/a/../b?c=%0d%0a#@127.0.0.1');
    expect(verdict).toEqual({ target: { origin: 'http://example.com', path: '/b?c=%0d%0a', port: 80 } });
  });
});
