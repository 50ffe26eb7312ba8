import { z } from 'zod';
import { AppError } from '../lib/errors.ts';
import { webhookShape } from './schema.ts';
import type { WebhookSettings } from './types.ts';

/** What a person says of a webhook outside the file: any of its keys. */
export interface WebhookInput extends Partial<WebhookSettings> {
  name?: string;
  url?: string;
  events?: string[];
  secret?: string;
}

type Shape = typeof webhookShape;

/**
 * Reads keys of a webhook, written as in the configuration file. Throws AppError ERR_USAGE with all problems, which quote no
 * value.
 */
export function parseWebhookInput(raw: Readonly<Partial<Record<keyof Shape, unknown>>>): WebhookInput {
  const given = Object.fromEntries(Object.entries(raw).filter(([, value]) => value !== undefined));
  const shape = Object.fromEntries(
    Object.entries(webhookShape).filter(([key]) => key in given),
  ) as Partial<Shape>;
  const parsed = z.strictObject(shape).safeParse(given);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new AppError('ERR_USAGE', problems.join('\n'));
  }
  const { active, max_in_flight, rate_limit, timeout, legacy_signature, ...same } = parsed.data as Partial<
    z.output<z.ZodObject<Shape>>
  >;
  const input = {
    ...same,
    isActive: active,
    maxInFlight: max_in_flight,
    ratePerSecond: rate_limit,
    timeoutMs: timeout,
    legacySignature: legacy_signature,
  };
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
}
