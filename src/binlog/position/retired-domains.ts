import { parseMariadbGtids } from '../gtid/gtid.ts';
import { gtidAt, type LogFile } from '../source/log-file.ts';
import { isLaterFile } from './log-place.ts';
import type { Source } from '../source/source.ts';
import type { LogPlace, Position } from '../types.ts';

/**
 * Returns the domains of a MariaDB position that were retired (FLUSH BINARY LOGS DELETE_DOMAIN_ID) on the server it was read from. The
 * server refuses the statement while its log has a transaction of the domain, and begins a file whose GTID list lacks the domain. So
 * any transaction of the domain in a later file is new, even if its number equals one that was read.
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
  // A domain missing from its own file's list is new in the file, or was retired before: to decide, the server reads the file.
  const unlisted = await lackedAt({ file: position.file, offset: 4 }, domains);
  if (unlisted.length > 0) for (const domain of await lackedAt(position, unlisted)) retired.add(domain);
  return retired;
}

/** Returns the domains in the log up to a place; null if the log does not have the place, or no longer has it. */
async function domainsAt(source: Source, place: LogPlace): Promise<ReadonlySet<number> | null> {
  const listed = await gtidAt(source, place);
  return listed === null ? null : new Set(parseMariadbGtids(listed).map(({ domain }) => domain));
}
