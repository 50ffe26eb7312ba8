import type { Webhook } from '../../outbox/types.ts';
import type { Request } from '../types.ts';

/** The request that sends an event to a webhook. */
export function toRequest(
  { eventId, eventType, body }: Pick<Request, 'eventId' | 'eventType' | 'body'>,
  { url, secrets, headers, timeoutMs, legacySignature, clientCertificate }: Webhook,
): Request {
  return {
    ...{ eventId, eventType, body },
    ...{ url, secrets, headers, timeoutMs, legacySignature, clientCertificate },
  };
}
