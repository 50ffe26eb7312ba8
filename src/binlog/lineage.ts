import { countGtids, formatGtidSet, parseGtidSet } from './gtid-set.ts';
import { formatMariadbGtid, parseMariadbGtids } from './gtid.ts';
import type { Halt, HaltReason, TimeSpan } from './halt.ts';
import { globalVariable, gtidAtStart, listLogFiles, readFileCreatedAt, type LogFile } from './log-file.ts';
import type { Source, SourceIdentity } from './source.ts';
import type { Flavour, Position } from './types.ts';

/** Where capture stood, and on whose log. */
export interface Checkpoint {
  position: Position;
  flavour: Flavour;
  /** `SourceIdentity.serverUuid` of the server that the position was read from. */
  serverUuid: string;
  /** Commit time of the last transaction before the position; null when none was read. */
  committedAtMs: number | null;
}

/** Whether reading can go on at a checkpoint, and if not, what is missing. */
export type Lineage =
  | {
      kind: 'ok';
      /** MariaDB: the position without the domains that were retired since; absent where there is none. */
      gtid?: string;
    }
  | {
      kind: Extract<HaltReason, 'foreign-server' | 'diverged' | 'purged' | 'ahead-of-source'>;
      message: string;
      /** The missing transactions: a GTID set, or file and offset from and to; null when it cannot be told. */
      missing: string | null;
      /** When they were committed, as closely as it can be told; null ends are open. */
      span: TimeSpan;
      remedy: string;
    };

export type BrokenLineage = Exclude<Lineage, { kind: 'ok' }>;

/** The halt of a broken lineage, at the checkpoint. */
export function lineageHalt({ kind, ...rest }: BrokenLineage, position: Position): Halt {
  return { reason: kind, ...rest, position, transactionId: null, table: null };
}

interface Proof {
  source: Source;
  identity: SourceIdentity;
  checkpoint: Checkpoint;
  files: readonly LogFile[];
  /** Whether the checkpoint was read from this very server: then its file names mean the same. */
  sameServer: boolean;
}

const acceptGap = 'odontology-webhooks resume --accept-gap --reason "…"';

/**
 * Proves that the server's log goes on from the checkpoint, asking the server: nothing between is purged, nothing that was read
 * is missing, and the file at the checkpoint is the same file. A replica with the same GTID history passes; positions by file
 * and offset hold on their own server only.
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

/** The file at the checkpoint, where it is still there, must be the one that was read, and long enough. */
async function proveSameFile(proof: Proof): Promise<Lineage> {
  const { source, checkpoint, files } = proof;
  const { file, offset, fileCreatedAt } = checkpoint.position;
  const found = files.find(({ name }) => name === file);
  if (!found) {
    // Purged files are the oldest ones. A name beyond the newest can only come from a log that is no more.
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
  return purgedBroken(
    proof,
    purged,
    `${counted(purged)} that ${plural(purged) ? 'were' : 'was'} never read: ${purged}`,
  );
}

async function proveMariadbGtid(proof: Proof, gtid: string): Promise<Lineage> {
  const read = parseMariadbGtids(gtid);
  const state = parseMariadbGtids(await globalVariable(proof.source, 'gtid_binlog_state'));
  const last = new Map(state.map(({ domain, server, sequence }) => [`${domain}-${server}`, sequence]));
  const unknown = read.filter(({ domain, server }) => !last.has(`${domain}-${server}`));
  const nothingInCommon = unknown.length === read.length && (read.length > 0 || !proof.sameServer);
  if (nothingInCommon && !proof.sameServer) {
    return foreign(
      proof.identity,
      proof.checkpoint,
      'Its log holds no transaction of the servers that were read.',
    );
  }
  // FLUSH BINARY LOGS DELETE_DOMAIN_ID: the server refuses it while its log has a transaction of the domain.
  const domains = new Set(state.map(({ domain }) => domain));
  const kept = read.filter(({ domain }) => domains.has(domain));
  const present = proof.sameServer && kept.length > 0 ? kept : read;
  const ahead = present.filter(
    ({ domain, server, sequence }) => sequence > (last.get(`${domain}-${server}`) ?? -1n),
  );
  if (ahead.length > 0) {
    const list = ahead.map(formatMariadbGtid).join(',');
    return broken(proof, 'ahead-of-source', {
      message:
        `The source's log does not reach ${list}, up to which it was read. ` +
        'It lost the end of its log, its log was reset, it was restored from a backup, or a failover left transactions behind.',
      missing: ahead
        .map(({ domain, server, sequence }) => {
          const from = (last.get(`${domain}-${server}`) ?? 0n) + 1n;
          return `${domain}-${server}-${from} to ${domain}-${server}-${sequence}`;
        })
        .join(', '),
    });
  }
  const unpurged = await proveMariadbUnpurged(proof, gtid);
  if (unpurged.kind !== 'ok' || present.length === read.length) return unpurged;
  return { kind: 'ok', gtid: present.map(formatMariadbGtid).join(',') };
}

/** What the oldest file presupposes must have been read. */
async function proveMariadbUnpurged(proof: Proof, gtid: string): Promise<Lineage> {
  const oldest = proof.files[0];
  const { file } = proof.checkpoint.position;
  // The file that was being read is still there: nothing behind it is purged, whatever a domain retired since has in the oldest one.
  if (!oldest || (proof.sameServer && proof.files.some(({ name }) => name === file))) return { kind: 'ok' };
  const reached = new Map(parseMariadbGtids(gtid).map(({ domain, sequence }) => [domain, sequence]));
  const gaps = parseMariadbGtids(await gtidAtStart(proof.source, oldest.name))
    .filter(({ domain, sequence }) => sequence > (reached.get(domain) ?? 0n))
    .map(({ domain, server, sequence }) => {
      const from = (reached.get(domain) ?? 0n) + 1n;
      return { text: `${domain}-*-${from} to ${domain}-${server}-${sequence}`, count: sequence - from + 1n };
    });
  if (gaps.length === 0) return { kind: 'ok' };
  const missing = gaps.map(({ text }) => text).join(', ');
  const count = gaps.reduce((sum, gap) => sum + gap.count, 0n);
  return purgedBroken(proof, missing, `${transactions(count)} that were never read: ${missing}`);
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

async function purgedBroken(proof: Proof, missing: string, what: string): Promise<BrokenLineage> {
  const { source, files, checkpoint, identity } = proof;
  const oldestAt = files[0] ? await readFileCreatedAt(source, files[0].name) : undefined;
  const span = {
    fromMs: checkpoint.committedAtMs,
    untilMs: oldestAt === undefined ? null : oldestAt * 1_000,
  };
  const set = identity.flavour === 'mysql' ? 'SET PERSIST' : 'SET GLOBAL';
  return {
    kind: 'purged',
    message: `The source has purged ${what}${spanText(span)}.`,
    missing,
    span,
    remedy:
      `Restore the purged binlog files into the log's folder and its index; or, the changes being lost: ${acceptGap}\n` +
      `So that it does not happen again: ${set} binlog_expire_logs_seconds = 604800;`,
  };
}

function foreign(
  { serverUuid, hostname }: SourceIdentity,
  checkpoint: Checkpoint,
  why: string,
): BrokenLineage {
  return {
    kind: 'foreign-server',
    message: `The server (${hostname}, ${serverUuid}) is not the one that was read before (${checkpoint.serverUuid}). ${why}`,
    missing: null,
    span: { fromMs: checkpoint.committedAtMs, untilMs: null },
    remedy: `Point source.url back at the server ${checkpoint.serverUuid}; or, to begin anew at this one: ${acceptGap}`,
  };
}

function broken(
  { checkpoint }: Proof,
  kind: 'diverged' | 'ahead-of-source',
  { message, missing = null }: { message: string; missing?: string | null },
): BrokenLineage {
  return {
    kind,
    message,
    missing,
    span: { fromMs: checkpoint.committedAtMs, untilMs: null },
    remedy: `Point source.url back at the server whose log was read; or, to go on with what this one has now: ${acceptGap}`,
  };
}

/** `binlog.000012` → 12. */
function numberOf(file: string): number {
  return Number(/\.(\d+)$/.exec(file)?.[1] ?? 0);
}

/** Whether two files belong to one log: log_bin may have been renamed between. */
function sameSeries(a: string, b: string): boolean {
  return a.replace(/\.\d+$/, '') === b.replace(/\.\d+$/, '');
}

function counted(set: string): string {
  return transactions(countGtids(parseGtidSet(set)));
}

function plural(set: string): boolean {
  return countGtids(parseGtidSet(set)) !== 1n;
}

function transactions(count: bigint): string {
  return `${count.toLocaleString('en-US')} transaction${count === 1n ? '' : 's'}`;
}

/** A set can name hundreds of sources: the verdict's `missing` has it whole, the message its beginning. */
function shortened(set: string): string {
  return set.length > 300 ? `${set.slice(0, 300)}…` : set;
}

const time = (ms: number): string => new Date(ms).toISOString();

function spanText({ fromMs, untilMs }: BrokenLineage['span']): string {
  if (fromMs === null) return untilMs === null ? '' : ` (committed before ${time(untilMs)})`;
  return untilMs === null
    ? ` (committed after ${time(fromMs)})`
    : ` (committed between ${time(fromMs)} and ${time(untilMs)})`;
}
