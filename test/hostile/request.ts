import type { Request } from '../../src/delivery/types.ts';

/** A request as the dispatcher would make it. */
export function testRequest(more: Partial<Request>): Request {
  return {
    eventId: 'evt_0123456789abcdef0123456789abcdef',
    eventType: 'payment.received',
    url: 'https://hooks.example.com/',
    body: '{"event":"payment.received","timestamp":"2026-03-07T15:30:00.000Z","data":{}}',
    secrets: [`whsec_${'ab'.repeat(32)}`],
    headers: {},
    timeoutMs: 5_000,
    legacySignature: true,
    clientCertificate: null,
    ...more,
  };
}
