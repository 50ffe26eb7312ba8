import { z } from 'zod';
import { AppError } from '../../lib/errors.ts';
import { duration } from './plain-scalars.ts';
import { formatPath, type Problems } from '../problems.ts';
import { referenceToEnvironment } from './scalar.ts';
import { webhookShape } from './schema.ts';
import { validate } from './validate.ts';
import { toSettings, type WebhookSettings } from './webhook-settings.ts';

/** The input for a webhook outside the file: any of its keys. */
export interface WebhookInput extends Partial<WebhookSettings> {
  name?: string;
  url?: string;
  events?: string[];
  secret?: string;
}

const { active, ...sameShape } = webhookShape;
const inputShape = { ...sameShape, is_active: active };

type Shape = typeof inputShape;
type Raw = Readonly<Record<string, unknown>>;

/** The keys required to create a webhook. */
export const requiredKeys = ['name', 'url', 'events'] as const;

/**
 * Reads keys of a webhook, written as in the configuration file (`active` as `is_active`, the name in answers); the keys of `required` must be present. Throws AppError ERR_USAGE with
 * all problems; it quotes no value.
 */
export function parseWebhookInput(raw: Raw, required: readonly (keyof Shape)[] = []): WebhookInput {
  const { is_active, ...given } = parseInput(inputSchema(required), raw);
  const { name, url, events, secret } = given;
  const input = { name, url, events, secret, ...toSettings({ ...given, active: is_active }) };
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
}

const rotation = z.strictObject({ secret: webhookShape.secret, overlap: duration('0s', '90d') }).partial();

/** Reads the input of a secret rotation. Throws like `parseWebhookInput`. */
export function parseRotationInput(raw: Raw): { secret?: string; overlapMs?: number } {
  const { secret, overlap } = parseInput(rotation, raw);
  return {
    ...(secret !== undefined && { secret }),
    ...(overlap !== undefined && { overlapMs: overlap }),
  };
}

/** The JSON schema of the input that creates a webhook. */
export const webhookInputSchema = (): Record<string, unknown> => toJsonSchema(inputSchema(requiredKeys));

/** The JSON schema of the input that changes a webhook; only a rotation changes the secret. */
export const webhookChangeSchema = (): Record<string, unknown> =>
  toJsonSchema(inputSchema([]).omit({ secret: true }));

/** The JSON schema of the input of `parseRotationInput`. */
export const rotationInputSchema = (): Record<string, unknown> => toJsonSchema(rotation);

/** All keys but the required keys are optional. */
function inputSchema(required: readonly (keyof Shape)[]) {
  const asked = Object.fromEntries(required.map((key) => [key, true as const]));
  return z
    .strictObject(inputShape)
    .partial()
    .required(asked as Record<(typeof requiredKeys)[number], true>);
}

function parseInput<Schema extends z.ZodObject>(schema: Schema, raw: Raw): Partial<z.output<Schema>> {
  const given = Object.fromEntries(Object.entries(raw).filter(([, value]) => value !== undefined));
  const problems: string[] = [];
  const add: Problems['add'] = (path, message, shown) =>
    void problems.push(`${formatPath(path, shown)}: ${message}`);
  const parsed = validate(schema, given, add);
  if (parsed === undefined)
    throw new AppError('ERR_USAGE', problems.join('\n'), { remedy: 'Correct these fields.' });
  return parsed;
}

/** Values here never come from the environment. */
function toJsonSchema(schema: z.ZodType): Record<string, unknown> {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    override({ jsonSchema }) {
      const [literal, reference] = jsonSchema.anyOf ?? [];
      if (reference?.pattern !== referenceToEnvironment.pattern) return;
      delete jsonSchema.anyOf;
      Object.assign(jsonSchema, literal);
    },
  });
  delete json.$schema;
  return json;
}
