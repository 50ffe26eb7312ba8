import { formatDuration } from '../../lib/duration.ts';
import { setVariable } from '../../db/connection/set-variable.ts';
import { toLogLimits } from '../position/runway.ts';
import { pass, unreadable, warn, type Check, type Facts, type Finding } from './check.ts';
import { providerOf, rdsRetention } from './managed.ts';

/** A long weekend, during which a halted daemon may remain unnoticed. */
const shortMs = 72 * 3_600_000;

export const retention: Check = {
  id: 'retention',
  title: 'How long the log is kept',
  run(facts) {
    const { variables, identity } = facts;
    const byProvider = checkRds(facts);
    if (byProvider) return byProvider;
    if (!variables.has('binlog_expire_logs_seconds') && !variables.has('expire_logs_days')) {
      return unreadable(facts, 'binlog_expire_logs_seconds');
    }
    const { retentionMs, maxBytes } = toLogLimits(variables);
    const name = variables.has('binlog_expire_logs_seconds')
      ? 'binlog_expire_logs_seconds'
      : 'expire_logs_days';
    if (retentionMs !== null && retentionMs < shortMs) {
      return warn(
        `The log is kept for ${formatDuration(retentionMs)}: when the daemon stands still for longer, changes are lost.`,
        setVariable(name, name === 'expire_logs_days' ? '7' : '604800', identity.flavour),
      );
    }
    if (maxBytes !== null) {
      const limit = variables.has('max_binlog_total_size') ? 'max_binlog_total_size' : 'binlog_space_limit';
      return warn(
        `The log is purged when it is larger than ${Math.round(maxBytes / 1_048_576)} MiB, however young it is.`,
        setVariable(limit, '0', identity.flavour),
      );
    }
    return pass(
      retentionMs === null
        ? 'The log is never purged by age.'
        : `The log is kept for ${formatDuration(retentionMs)}.`,
    );
  },
};

/** RDS and Aurora purge the log by a setting of their own, whatever the variables say. Null if the server is not known to be one. */
function checkRds(facts: Facts): Finding | null {
  const { rdsRetention: found, identity } = facts;
  const provider = providerOf(facts);
  if (found === 'unknown') return null;
  if (found === 'denied') {
    if (provider !== 'rds' && provider !== 'aurora') return null;
    return warn(
      "Amazon's server purges the log when its backups do not need it, unless `binlog retention hours` is set, which this account may not read.",
      `${rdsRetention}\nGRANT SELECT ON mysql.rds_configuration TO ${identity.account};`,
    );
  }
  if (found.hours === null)
    return warn(
      "`binlog retention hours` is NULL: Amazon's server purges the log as soon as its backups do not need it, often within minutes. What a daemon that stands still has not read is lost.",
      rdsRetention,
    );
  const ms = found.hours * 3_600_000;
  const kept = `The log is kept for ${formatDuration(ms)} (\`binlog retention hours\`)`;
  return ms < shortMs
    ? warn(`${kept}: when the daemon stands still for longer, changes are lost.`, rdsRetention)
    : pass(`${kept}.`);
}
