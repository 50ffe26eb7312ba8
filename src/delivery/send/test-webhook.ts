import { randomBytes } from 'node:crypto';
import { systemClock } from '../../lib/clock.ts';
import type { Webhook } from '../../outbox/types.ts';
import { toRequest } from './request.ts';
import type { Sender } from './send.ts';
import type { Outcome } from '../types.ts';

/** The type of the event that a person sends to try a webhook; it is not recorded in the log. */
const testEventType = 'webhook.test';

/** Sends one signed event without any data of a patient, once, through the same code as all others. */
export function testWebhook(sender: Sender, webhook: Webhook): Promise<Outcome> {
  const { id, name } = webhook;
  const timestamp = new Date(systemClock.now()).toISOString();
  const event = {
    eventId: `evt_${randomBytes(16).toString('hex')}`,
    eventType: testEventType,
    body: JSON.stringify({ event: testEventType, timestamp, data: { webhook_id: id, name } }),
  };
  return sender.send(toRequest(event, webhook));
}
