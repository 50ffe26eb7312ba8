import { AppError } from '../../lib/errors.ts';
import { createGtidSetTracker } from './gtid-set.ts';
import type { Flavour } from '../types.ts';

/** The set of executed transactions, which grows by one transaction at a time. */
export interface GtidTracker {
  /** One transaction's GTID, lower case: `uuid:7` or `uuid:tag:7` on MySQL, `0-1-7` on MariaDB. */
  add(gtid: string): void;
  /** Returns the MySQL set or the MariaDB position, as stored in the checkpoint and accepted by the server. */
  toString(): string;
}

/** The last transaction of a MariaDB domain. */
export interface MariadbGtid {
  domain: number;
  server: number;
  sequence: bigint;
}

/** Creates a tracker from the text of a checkpoint; empty text is the beginning of all history. */
export function createGtidTracker(flavour: Flavour, text: string): GtidTracker {
  return flavour === 'mysql' ? createGtidSetTracker(text) : createMariadbTracker(text);
}

/** Reads a MariaDB GTID position or state, `0-1-100,7-2-5`. A state (gtid_binlog_state) may name a domain several times. */
export function parseMariadbGtids(text: string): MariadbGtid[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^(\d{1,10})-(\d{1,10})-(\d{1,20})$/.exec(part);
      if (!match) throw new AppError('ERR_INTERNAL', `"${part.slice(0, 200)}" is not a MariaDB GTID.`);
      return { domain: Number(match[1]), server: Number(match[2]), sequence: BigInt(match[3]!) };
    });
}

export function formatMariadbGtid({ domain, server, sequence }: MariadbGtid): string {
  return `${domain}-${server}-${sequence}`;
}

function createMariadbTracker(text: string): GtidTracker {
  const lastOf = new Map<string, string>();
  for (const gtid of parseMariadbGtids(text)) lastOf.set(String(gtid.domain), formatMariadbGtid(gtid));
  let printed: string | undefined;
  return {
    add(gtid) {
      lastOf.set(gtid.slice(0, gtid.indexOf('-')), gtid);
      printed = undefined;
    },
    toString: () => (printed ??= [...lastOf.values()].join(',')),
  };
}
