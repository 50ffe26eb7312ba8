import { z } from 'zod';
import { AppError } from '../../lib/errors.ts';

/*
 * The kinds of single values in the configuration. Each takes what YAML gave (or the text that an environment variable
 * held), says in one sentence what it must be, never repeats the value, and describes itself for editors.
 */

interface Kind<T> {
  /** Ends the sentence "must be …". */
  mustBe: string;
  /** JSON Schema of a literal value; a reference to the environment is added. */
  json: Record<string, unknown>;
  /** The value; undefined when it is not of the kind. Throws an AppError where there is more to say than `mustBe`. */
  parse(input: unknown): T | undefined;
}

/** What an editor accepts in the place of any value. */
export const referenceToEnvironment = { type: 'string', pattern: String.raw`\$\{env:` };

/** The zod schema of a kind of value. */
export function scalar<T>({ mustBe, json, parse }: Kind<T>) {
  return z
    .unknown()
    .meta({ anyOf: [json, referenceToEnvironment] })
    .transform((input, context): T => {
      const refuse = (message: string) => {
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      };
      if (input === undefined) return refuse('is missing');
      try {
        return parse(input) ?? refuse(`must be ${mustBe}`);
      } catch (error) {
        if (error instanceof AppError) return refuse(error.message);
        throw error;
      }
    });
}

/** Lets only text through to `parse`. */
export const ifText =
  <T>(parse: (text: string) => T | undefined) =>
  (input: unknown) =>
    typeof input === 'string' ? parse(input) : undefined;
