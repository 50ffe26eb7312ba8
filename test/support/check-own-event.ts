import { Ajv } from 'ajv';
import { expect } from 'vitest';
import { systemEventSchemas } from '../../src/event/system-event-schemas.ts';
import type { Received } from './receiver.ts';

const validators = new Map(
  [...systemEventSchemas()].map(([type, schema]) => [type, new Ajv({ strict: true }).compile(schema)]),
);

/** Expects the body of a system event to match its schema. */
export function checkOwnEvent({ event, body }: Pick<Received, 'event' | 'body'>): void {
  const isAsDescribed = validators.get(event)!;
  isAsDescribed(JSON.parse(body));
  expect({ event, wrong: isAsDescribed.errors ?? [] }).toEqual({ event, wrong: [] });
}
