import { AppError } from '../../lib/errors.ts';
import { requireTrimmed, trimmedPattern } from './plain-scalars.ts';
import { ifText, scalar } from './scalar.ts';

const longestName = 255;

/** A name that cannot be confused with an id. */
export function webhookName() {
  return scalar<string>({
    mustBe: `text of 1 to ${longestName} characters, in quotes where YAML would read something else`,
    json: {
      type: 'string',
      minLength: 1,
      maxLength: longestName,
      pattern: trimmedPattern,
      not: { pattern: '^[0-9]+$' },
    },
    parse: ifText((given) => {
      if (/^\d+$/.test(given)) {
        throw new AppError('ERR_CONFIG', 'is digits alone, which would be taken for an id: add a letter');
      }
      return requireTrimmed(given, longestName);
    }),
  });
}

const eventPatternForm = /^(\*|[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\.(\*|[A-Za-z0-9_-]+))$/;

/** `*`, `noun.*` or `noun.verb`: checkWebhooks compares it with the catalogue. */
export function eventPattern() {
  return scalar<string>({
    mustBe: 'an event such as payment.received, all events of a noun such as "payment.*", or "*"',
    json: { type: 'string', maxLength: 128, pattern: eventPatternForm.source },
    parse: ifText((given) => (given.length <= 128 && eventPatternForm.test(given) ? given : undefined)),
  });
}

/** The value of a header; checkWebhooks checks which headers are allowed. */
export function headerValue() {
  return scalar<string>({
    mustBe: 'text, in quotes where YAML would read something else',
    json: { type: 'string', pattern: '^[\\t\\x20-\\x7e]*$' },
    parse: ifText((given) => given),
  });
}
