import { countGtids, formatGtidSet, parseGtidSet } from '../gtid/gtid-set.ts';
import { findStartBehindStop } from './clean-stop.ts';
import { proveMariadbGtid } from './prove-mariadb.ts';
import {
  broken,
  foreign,
  purgedBroken,
  time,
  transactions,
  type BrokenLineage,
  type Checkpoint,
  type Lineage,
  type Proof,
} from './verdict.ts';
import { listLogFiles, readFileCreatedAt } from '../source/log-file.ts';
import type { Source, SourceIdentity } from '../source/source.ts';

/**
 * Proves, by querying the server, that its log continues from the checkpoint: nothing in between is purged, nothing already read is
 * missing, and the file at the checkpoint is the same file. A replica with the same GTID history passes; positions by file and offset
 * are valid only on their own server.
 */
export async function proveLineage(
  source: Source,
  identity: SourceIdentity,
  checkpoint: Checkpoint,
): Promise<Lineage> {
  if (identity.flavour !== checkpoint.flavour)
    return foreign(identity, checkpoint, 'It is another kind of server.');
  const files = await listLogFiles(source);
  const sameServer = identity.serverUuid === checkpoint.serverUuid;
  const proof: Proof = { source, identity, checkpoint, files, sameServer };
  const { gtid } = checkpoint.position;
  if (gtid === null || identity.gtidMode !== 'on') return proveByFile(proof);
  const history =
    identity.flavour === 'mysql' ? await proveMysqlGtid(proof, gtid) : await proveMariadbGtid(proof, gtid);
  if (history.kind !== 'ok' || !sameServer) return history;
  const file = await proveSameFile(proof);
  return file.kind === 'ok' ? history : file;
}

async function proveByFile(proof: Proof): Promise<Lineage> {
  const { identity, checkpoint, files, sameServer } = proof;
  const { position } = checkpoint;
  if (!sameServer) {
    const why =
      position.gtid === null
        ? 'A position by file and offset means nothing on another server: a failover can be followed with gtid_mode=ON alone.'
        : 'It has gtid_mode OFF, so that the position, a GTID set, cannot be found on it.';
    return foreign(identity, checkpoint, why);
  }
  if (files.some(({ name }) => name === position.file)) return proveSameFile(proof);
  const oldest = files[0]?.name ?? '';
  return sameSeries(position.file, oldest) && numberOf(position.file) < numberOf(oldest)
    ? purgedFiles(proof)
    : broken(proof, 'diverged', {
        message: `The source has no log file ${position.file}, and none after it: its log was reset, or it was restored from a backup.`,
      });
}

/** If the file at the checkpoint still exists, it must be the one that was read, and long enough. */
async function proveSameFile(proof: Proof): Promise<Lineage> {
  const { source, checkpoint, files } = proof;
  const { file, offset, fileCreatedAt } = checkpoint.position;
  const found = files.find(({ name }) => name === file);
  if (!found) {
    // A server purges its oldest files. A name beyond the newest file can only come from a log that no longer exists.
    const newest = files.at(-1)?.name ?? '';
    if (!sameSeries(file, newest) || numberOf(file) < numberOf(newest)) return { kind: 'ok' };
    return broken(proof, 'diverged', {
      message: `The source's log ends with the file ${newest}, but was read up to ${file}: it was reset, or restored from a backup.`,
    });
  }
  if (fileCreatedAt !== undefined) {
    const createdAt = await readFileCreatedAt(source, file);
    if (createdAt !== undefined && createdAt !== fileCreatedAt) {
      return broken(proof, 'diverged', {
        message:
          `The log file ${file} was begun at ${time(createdAt * 1_000)}, the one that was read at ${time(fileCreatedAt * 1_000)}: ` +
          'the log was reset, or the server was restored from a backup.',
      });
    }
  }
  if (found.bytes >= offset) return { kind: 'ok' };
  return broken(proof, 'ahead-of-source', {
    message: `The log file ${file} ends at ${found.bytes}, but was read up to ${offset}: the source lost the end of its log.`,
    missing: `${file}:${found.bytes}-${offset}`,
  });
}

async function proveMysqlGtid(proof: Proof, gtid: string): Promise<Lineage> {
  const [row] = await proof.source.query(
    'SELECT GTID_SUBTRACT(?, @@GLOBAL.gtid_executed) AS ahead, GTID_SUBTRACT(@@GLOBAL.gtid_purged, ?) AS purged',
    [gtid, gtid],
  );
  const set = (name: string): string => formatGtidSet(parseGtidSet(String(row![name] ?? '')));
  const ahead = set('ahead');
  const nothingInCommon = gtid === '' ? !proof.sameServer : ahead === formatGtidSet(parseGtidSet(gtid));
  if (nothingInCommon && !proof.sameServer) {
    return foreign(
      proof.identity,
      proof.checkpoint,
      'Its history has not one transaction in common with what was read.',
    );
  }
  if (ahead !== '') {
    return broken(proof, 'ahead-of-source', {
      message:
        `The source lacks ${counted(ahead)} that ${plural(ahead) ? 'were' : 'was'} read before: ${shortened(ahead)}. ` +
        'It lost the end of its log, its log was reset, it was restored from a backup, or a failover left them behind.',
      missing: ahead,
    });
  }
  const purged = set('purged');
  if (purged === '') return { kind: 'ok' };
  const from = await findStartBehindStop(proof);
  if (from) return { kind: 'ok', from };
  return purgedBroken(
    proof,
    purged,
    `${counted(purged)} that ${plural(purged) ? 'were' : 'was'} never read: ${purged}`,
  );
}

function purgedFiles(proof: Proof): Promise<BrokenLineage> {
  const { file, offset } = proof.checkpoint.position;
  const oldest = proof.files[0]!.name;
  const missing = `${file}:${offset} to ${oldest}:4`;
  return purgedBroken(
    proof,
    missing,
    `the log from ${file}:${offset} to the beginning of ${oldest}, which was never read`,
  );
}

/** `binlog.000012` → 12. */
function numberOf(file: string): number {
  return Number(/\.(\d+)$/.exec(file)?.[1] ?? 0);
}

/** Whether two files belong to one log: log_bin may have been renamed in between. */
function sameSeries(a: string, b: string): boolean {
  return a.replace(/\.\d+$/, '') === b.replace(/\.\d+$/, '');
}

function counted(set: string): string {
  return transactions(countGtids(parseGtidSet(set)));
}

function plural(set: string): boolean {
  return countGtids(parseGtidSet(set)) !== 1n;
}

/** A set can contain hundreds of sources: the verdict's `missing` has all of it, the message only the beginning. */
function shortened(set: string): string {
  return set.length > 300 ? `${set.slice(0, 300)}…` : set;
}
