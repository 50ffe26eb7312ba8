import { AppError } from '../../lib/errors.ts';
import { countMissed } from './missed.ts';
import { countOwed } from '../queue/owed.ts';
import { loadWebhooks, notFound } from './webhook-registry.ts';
import type { WebhookStanding } from '../types.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** The summary after enabling, disabling, pausing or resuming a webhook. */
export interface WebhookSummary {
  id: number;
  name: string;
  standing: WebhookStanding;
  /** Number of unfinished deliveries. */
  waiting: number;
  /** Maximum number of events that were not queued for it and that `enable --missed` could send. */
  missed: number;
}

/** Throws AppError ERR_NOT_FOUND. */
export async function summarizeWebhook(vault: EncryptedStore, id: number): Promise<WebhookSummary> {
  const { webhooks } = await loadWebhooks(vault);
  const webhook = webhooks.find((each) => each.id === id);
  if (!webhook) throw notFound(id);
  const { name, standing } = webhook;
  const [waiting, missed] = await Promise.all([
    countOwed(vault.store, id),
    countMissed(vault.store, webhook),
  ]);
  return { id, name, standing, waiting, missed };
}

/** States how many deliveries wait, what happens to new events, and what was missed. */
export function summaryInWords({ id, name, standing, waiting, missed }: WebhookSummary): string {
  const owed = waiting === 1 ? '1 delivery' : `${waiting} deliveries`;
  const lines = [`Webhook ${id} (${name}) ${inWords[standing](owed, waiting === 1)}`];
  if (missed > 0 && standing !== 'inactive') {
    const events = missed === 1 ? '1 event was' : `Up to ${missed} events were`;
    lines.push(`${events} not queued for it. To send what was missed: webhooks enable ${id} --missed`);
  }
  return lines.join('\n');
}

type InWords = (owed: string, isOne: boolean) => string;

const inWords: Readonly<Record<WebhookStanding, InWords>> = {
  active: (owed, isOne) =>
    `is active. ${owed} that waited ${isOne ? 'is' : 'are'} sent in order; new events are queued and sent.`,
  paused: (owed, isOne) =>
    `is paused. ${owed} ${isOne ? 'waits' : 'wait'}; new events are queued, and nothing is sent before: webhooks resume.`,
  inactive: (owed, isOne) =>
    `is disabled. ${owed} ${isOne ? 'waits' : 'wait'}; new events are not queued. webhooks enable --missed sends both later.`,
  disabled: (owed, isOne) =>
    `was disabled by the daemon. ${owed} ${isOne ? 'waits' : 'wait'}; new events are queued, and nothing is sent before: webhooks enable.`,
  unfit: (owed, isOne) =>
    `cannot be used: webhooks list says why. ${owed} ${isOne ? 'waits' : 'wait'} until its row is corrected.`,
};

/** Why a webhook cannot be paused or resumed. Thrown as AppError ERR_CONFLICT. */
export function notActive(name: string): AppError {
  return new AppError('ERR_CONFLICT', `the webhook "${name}" is disabled: nothing is sent by it`, {
    remedy: 'webhooks enable sends what waits.',
  });
}
