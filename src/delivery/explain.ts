import { STATUS_CODES } from 'node:http';
import { escapeLine } from '../lib/terminal-text.ts';
import type { Outcome } from './types.ts';

/*
 * Why an attempt failed, in words that may be stored, logged and shown. They are our own: of an error its code and address are used, of
 * an answer its status. Messages of libraries and answers of receivers may hold anything.
 */

/** Fits in the column `attempts.explanation`. */
const maximumCharacters = 400;

/** Why the outcome is no success; null where it is one. */
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

/** Our own name of a status, never the phrase that was received. */
export function describeStatus(status: number): string {
  const name = STATUS_CODES[status];
  return name === undefined ? String(status) : `${status} ${name}`;
}

/** A text on one line, without control characters, that fits in the store. */
export function toExplanation(text: string): string {
  return Array.from(escapeLine(text)).slice(0, maximumCharacters).join('');
}
