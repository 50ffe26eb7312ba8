import { z } from 'zod';
import { AppError } from '../../lib/errors.ts';

/*
 * The kinds of single values in the configuration. Each parses the YAML value (or the text of an environment variable), describes in one sentence what the
 * value must be, never repeats the value, and has a JSON schema for editors.
 */

interface Kind<T> {
  /** Ends the sentence "must be …". */
  mustBe: string;
  /** JSON Schema of a literal value; a reference to the environment is added. */
  json: Record<string, unknown>;
  /** Returns the value; undefined when it is not of this kind. Throws an AppError when a more precise message than `mustBe` exists. */
  parse(input: unknown): T | undefined;
}

/** The JSON schema that allows a reference to the environment in place of any value. */
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

/** Passes only text to `parse`. */
export const ifText =
  <T>(parse: (text: string) => T | undefined) =>
  (input: unknown) =>
    typeof input === 'string' ? parse(input) : undefined;
