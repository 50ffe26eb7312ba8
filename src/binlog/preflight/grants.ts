import { quoteName } from '../source/quote-name.ts';
import { missingPrivileges } from '../statement/links/read-links.ts';
import { fail, pass, skip, warn, type Check } from './check.ts';

const replicationSlave: Check = {
  id: 'grant-replication-slave',
  title: 'Right to read the log',
  run({ mayReplicate, identity: { account } }) {
    if (mayReplicate) return pass(`${account} has REPLICATION SLAVE.`);
    return fail(`${account} may not read the log.`, `GRANT REPLICATION SLAVE ON *.* TO ${account};`);
  },
};

const replicationClient: Check = {
  id: 'grant-replication-client',
  title: "Right to ask for the log's status",
  run({ log, identity: { account, flavour } }) {
    const privilege = flavour === 'mysql' ? 'REPLICATION CLIENT' : 'BINLOG MONITOR';
    if (log.state !== 'denied') return pass(`${account} has ${privilege}.`);
    return fail(`${account} may not ask where the log ends.`, `GRANT ${privilege} ON *.* TO ${account};`);
  },
};

const select: Check = {
  id: 'grant-select',
  title: 'Right to read the tables',
  run({ tables, identity: { account }, dictionary: { schema } }) {
    const denied = tables.filter(({ access }) => access === 'denied').map(({ wanted }) => wanted);
    if (denied.length > 0) {
      return fail(
        `${account} may not read ${denied.join(', ')}, or not all the columns that the rules name (or there is no such table).`,
        denied
          .map((name) => `GRANT SELECT ON ${quoteName(schema)}.${quoteName(name)} TO ${account};`)
          .join('\n'),
      );
    }
    const readable = tables.filter(({ access }) => access === 'ok').length;
    return readable === 0
      ? skip('None of the tables that the rules name is there.')
      : pass(`${account} may read the ${readable} tables that the rules name.`);
  },
};

const links: Check = {
  id: 'grant-links',
  title: 'Right to see triggers, views and routines',
  async run({ source, identity }) {
    const missing = await missingPrivileges(source, identity);
    if (missing.length === 0)
      return pass(
        `${identity.account} sees what a change in STATEMENT format leads to: one that reaches no watched table does not stop the reader.`,
      );
    return warn(
      `${identity.account} does not see every trigger, view and routine of the server: a change in STATEMENT format can halt capture ` +
        `${identity.flavour === 'mysql' ? 'where the log does not list the schemas that it changes' : 'in whatever schema it is'}, ` +
        'though it reaches no watched table. The grants are optional: where every session logs rows, they are not needed.',
      missing
        .map(({ privileges, on }) => `GRANT ${privileges.join(', ')} ON ${on} TO ${identity.account};`)
        .join('\n'),
    );
  },
};

/** The minimal privileges: each is tested by an operation that needs it, so that roles and wildcards count. */
export const grantChecks: readonly Check[] = [replicationSlave, replicationClient, select, links];
