import { isIP } from 'node:net';
import { monotonicMs } from '../../lib/clock.ts';
import { proveLineage } from '../position/lineage.ts';
import { countReplicas } from '../source/count-replicas.ts';
import type { DatabaseUrl } from '../../db/connection/database-url.ts';
import { fail, pass, skip, warn, type Check, type Finding } from './check.ts';

const sourceTls: Check = {
  id: 'tls',
  title: 'Encrypted connection',
  run: ({ source: { url } }) => checkTls(url, 'source.url'),
};

/** Checks whether the connection to a database is encrypted and its server verified. `key`: the configuration key of its address. */
export function checkTls({ socketPath, host, tls }: DatabaseUrl, key: string): Finding {
  if (socketPath !== undefined || isLocal(host)) return pass('The server is on this machine.');
  if (!tls) {
    return warn(
      `Patient data crosses the network to ${host} in the clear.`,
      `Add ?ssl=true to ${key} (with a self-signed certificate also &ssl-ca=/path/to/ca.pem).`,
    );
  }
  if (tls.verify) return pass('The connection is encrypted, and the certificate is verified.');
  return warn(
    `The connection to ${host} is encrypted, but the server's identity is not verified.`,
    `Write ssl=verify-ca&ssl-ca=/path/to/ca.pem instead of ssl=skip-verify in ${key}.`,
  );
}

function isLocal(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

const maxSkewMs = 1_000;

const clockSkew: Check = {
  id: 'clock',
  title: "The server's clock",
  async run({ source, clock }) {
    const skews: { skewMs: number; tripMs: number }[] = [];
    for (let i = 0; i < 3; i += 1) {
      const sent = monotonicMs();
      const [row] = await source.query('SELECT UNIX_TIMESTAMP(NOW(6)) AS now');
      const tripMs = monotonicMs() - sent;
      skews.push({ skewMs: Number(row!['now']) * 1_000 - (clock.now() - tripMs / 2), tripMs });
    }
    // The fastest response is the most precise: the first one may include connecting.
    const { skewMs, tripMs } = skews.reduce((best, each) => (each.tripMs < best.tripMs ? each : best));
    if (Math.abs(skewMs) - tripMs / 2 <= maxSkewMs) return pass('It agrees with ours to the second.');
    return warn(
      `It is ${(Math.abs(skewMs) / 1_000).toFixed(1)} s ${skewMs > 0 ? 'ahead of' : 'behind'} ours: timestamps of events are off by as much.`,
      'sudo timedatectl set-ntp true -- on both machines',
    );
  },
};

const serverId: Check = {
  id: 'server-id',
  title: 'Our replication server id',
  async run(facts) {
    const { serverId: ours, identity } = facts;
    if (ours === null) return null;
    if (identity.serverId === ours) {
      return fail(
        `The server itself has our id, ${ours}.`,
        'Give the server another server_id in my.cnf and restart it.',
      );
    }
    const readers = await countReplicas(facts.source, identity, ours);
    if (readers === null) return skip('The server does not tell who reads its log.');
    if (readers <= (facts.readerRuns ? 1 : 0)) return pass(`No other reader uses ${ours}.`);
    return warn(
      `A reader is connected as ${identity.account} with our id, ${ours}. Unless it is the running daemon, the two would cut each other off for ever.`,
      'Stop the other daemon; if it is a copy of this installation (a cloned machine), give it a store of its own in store.url.',
    );
  },
};

const lineage: Check = {
  id: 'lineage',
  title: 'Checkpoint within the log',
  async run({ source, identity, checkpoint, log }) {
    if (!checkpoint) return null;
    if (log.state !== 'on') return skip('Needs the binary log and the right to ask for its status.');
    const proof = await proveLineage(source, identity, checkpoint);
    return proof.kind === 'ok'
      ? pass('The log continues from the checkpoint.')
      : fail(`${proof.kind}: ${proof.message}`, proof.remedy);
  },
};

/** The connection, the clock, other readers, and the checkpoint. */
export const environmentChecks: readonly Check[] = [sourceTls, clockSkew, serverId, lineage];
