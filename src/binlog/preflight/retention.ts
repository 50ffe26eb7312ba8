import { formatDuration } from '../../lib/duration.ts';
import { setVariable } from '../../db/connection/set-variable.ts';
import { toLogLimits } from '../position/runway.ts';
import { pass, unreadable, warn, type Check } from './check.ts';

/** A long weekend: a halted daemon may stay unnoticed for that long. */
const shortMs = 72 * 3_600_000;

export const retention: Check = {
  id: 'retention',
  title: 'How long the log is kept',
  run(facts) {
    const { variables, identity } = facts;
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
