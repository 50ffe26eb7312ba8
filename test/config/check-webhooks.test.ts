import { describe, expect, it } from 'vitest';
import { checkWebhooks, checkEventPattern } from '../../src/config/check-webhooks.ts';
import { formatProblem } from '../../src/config/problems.ts';
import { loadText } from './folder.ts';

const eventTypes = {
  domain: ['payment.received', 'payment.refunded', 'appointment.confirmed', 'inventory.low_stock'],
  own: ['webhook.disabled', 'audit.sealed', 'capture.gap'],
};

describe('checkEventPattern', () => {
  it.each(['*', 'payment.*', 'payment.received', 'webhook.disabled'])('accepts %s', (pattern) => {
    expect(checkEventPattern(pattern, eventTypes)).toBeUndefined();
  });

  it.each([
    ['paymnt.received', 'there is no event "paymnt.received", did you mean "payment.received"?'],
    ['paymnt.*', 'no event begins with "paymnt.", did you mean "payment.*"?'],
    ['capture.gaps', 'there is no event "capture.gaps", did you mean "capture.gap"?'],
    ['unrelated.thing', 'there is no event "unrelated.thing"'],
    // Our own events are sent only to those who name them.
    ['webhook.*', 'no event begins with "webhook."'],
  ])('refuses %s', (pattern, message) => {
    expect(checkEventPattern(pattern, eventTypes)).toBe(message);
  });
});

describe('checkWebhooks', () => {
  const load = () =>
    loadText(`webhooks:
  - name: A
    url: https://a.example/
    events:
      - payment.received
      - paymnt.received
    secret: \${env:WEBHOOK_SECRET}
  - name: B
    url: https://b.example/
    events: ["*"]
    secret: \${env:WEBHOOK_SECRET}
    headers: { Host: x }
    client_certificate: bank
    fields: [amuont]
`).webhooks;

  it('tells what the rules, the guard and the rules for headers have against them, with places', () => {
    const problems = checkWebhooks(load(), {
      eventTypes,
      checkUrl: (url) => (url.includes('a.example') ? ['leads to a forbidden address'] : []),
      checkClientCertificate: (name) => (name === null ? [] : ['has no such name']),
      checkHeaders: (headers) => Object.keys(headers).map((name) => `${name} would change the request`),
      checkSelection: ({ fields }) =>
        fields === null ? [] : [{ key: 'fields', message: `none of its events has "${fields[0]!}"` }],
    });
    expect(problems.map((problem) => formatProblem(problem).replace(/^.*webhooks\.yaml/, ''))).toEqual([
      ':3:5 webhooks[0].url: leads to a forbidden address',
      ':6:9 webhooks[0].events[1]: there is no event "paymnt.received", did you mean "payment.received"?',
      ':12:5 webhooks[1].headers: Host would change the request',
      ':13:5 webhooks[1].client_certificate: has no such name',
      ':14:5 webhooks[1].fields: none of its events has "amuont"',
    ]);
  });

  it('is silent about good ones', () => {
    const checks = {
      eventTypes,
      checkUrl: () => [],
      checkHeaders: () => [],
      checkClientCertificate: () => [],
      checkSelection: () => [],
    };
    expect(checkWebhooks(load().slice(1), checks)).toEqual([]);
  });
});
