import { parseMariadbGtids } from '../gtid/gtid.ts';
import { gtidAt, type LogFile } from '../source/log-file.ts';
import { isLaterFile } from './log-place.ts';
import type { Source } from '../source/source.ts';
import type { LogPlace, Position } from '../types.ts';

/**
 * Domains of a MariaDB position that were retired (FLUSH BINARY LOGS DELETE_DOMAIN_ID), on the server that it was read from. The
 * server refuses the statement while its log has a transaction of the domain, and begins a file whose list of GTIDs lacks
 * it. So whatever a later file has of the domain is new, also where its numbers are those of transactions that were read.
 */
export async function findRetiredDomains(
  source: Source,
  files: readonly LogFile[],
  position: Position,
): Promise<ReadonlySet<number>> {
  const domains = parseMariadbGtids(position.gtid ?? '').map(({ domain }) => domain);
  const lackedAt = async (place: LogPlace, among: readonly number[]): Promise<number[]> => {
    const named = await domainsAt(source, place);
    return named ? among.filter((domain) => !named.has(domain)) : [];
  };
  const retired = new Set<number>();
  for (const { name } of files.filter((each) => isLaterFile(each.name, position.file)))
    for (const domain of await lackedAt({ file: name, offset: 4 }, domains)) retired.add(domain);
  // A domain that its own file does not list is new in the file, or was retired before: the server reads the file to tell.
  const unlisted = await lackedAt({ file: position.file, offset: 4 }, domains);
  if (unlisted.length > 0) for (const domain of await lackedAt(position, unlisted)) retired.add(domain);
  return retired;
}

/** The domains that the log has up to a place; null where the log has no such place, or no longer. */
async function domainsAt(source: Source, place: LogPlace): Promise<ReadonlySet<number> | null> {
  const listed = await gtidAt(source, place);
  return listed === null ? null : new Set(parseMariadbGtids(listed).map(({ domain }) => domain));
}
