import { STATUS_CODES } from 'node:http';
import { escapeLine } from '../lib/terminal-text.ts';
import type { Outcome } from './types.ts';

/*
 * Explains why an attempt failed, in our own words, which may be stored, logged and shown. Only the code and address of an error and the status of an
 * answer are used: messages of libraries and answers of receivers may contain anything.
 */

/** Fits in the column `attempts.explanation`. */
const maximumCharacters = 400;

/** Why the outcome is no success; null for a success. */
export function explainOutcome(outcome: Outcome): string | null {
  switch (outcome.kind) {
    case 'delivered':
      return null;
    case 'rejected': {
      const isRedirect = outcome.status >= 300 && outcome.status < 400;
      const why = isRedirect ? ': redirects are not followed' : '';
      return `the receiver answered ${describeStatus(outcome.status)}${why}`;
    }
    case 'gone':
      return `the receiver answered ${describeStatus(outcome.status)}: it wants no more events`;
    case 'failed': {
      const after =
        outcome.status === undefined ? '' : `after the status ${describeStatus(outcome.status)}: `;
      const again = outcome.idleConnectionDied ? '; it had been idle, so the next try follows at once' : '';
      return toExplanation(`${after}${outcome.message}${again}`);
    }
    case 'forbidden':
      return toExplanation(outcome.message);
  }
}

/** Our own name of a status, never the received phrase. */
export function describeStatus(status: number): string {
  const name = STATUS_CODES[status];
  return name === undefined ? String(status) : `${status} ${name}`;
}

/** Converts a text to one line without control characters that fits in the store. */
export function toExplanation(text: string): string {
  return Array.from(escapeLine(text)).slice(0, maximumCharacters).join('');
}
