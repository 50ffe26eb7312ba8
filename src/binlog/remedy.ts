import { quoteName } from './source/quote-name.ts';

/**
 * Joins the steps of a remedy, one per line, in order: a sentence of advice, an SQL statement, or a command. Statements and commands
 * can be pasted unchanged, so no advice follows them on their line. A line that begins with "Or" begins an alternative.
 */
export function steps(...lines: readonly string[]): string {
  return lines.join('\n');
}

/**
 * Returns the command that accepts the loss of an unreadable transaction, or with `untilNow` of all transactions that a setting made
 * unreadable. The command shows what is lost and asks before it acts. `reason` goes to the audit log.
 */
export function acceptGapCommand(reason: string, { untilNow = false } = {}): string {
  const until = untilNow ? ' --until now' : '';
  return `odontology-webhooks resume --accept-gap${until} --reason "${reason.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;
}

/** For log files that no longer exist. */
export const purgedRemedy = steps(
  "Restore the purged binlog files to the log's folder and its index: capture then continues.",
  'Or give up the changes in them:',
  acceptGapCommand('the log was purged'),
);

/** For a dropped schema: without it no connection can be opened, so capture cannot resume. */
export function droppedSchemaRemedy(schema: string): string {
  return steps(
    'Create the schema again:',
    `CREATE DATABASE ${quoteName(schema)};`,
    'Put the tables back from a backup.',
    'Then give up what they held beyond it:',
    acceptGapCommand('DROP DATABASE'),
  );
}

/** For a checkpoint edited with SQL. */
export const editedCheckpointRemedy = steps(
  "Put the row of the store's table checkpoint back from a backup, with all its columns: capture then continues.",
  'Or let capture continue from where the row stands now, which may be set by UPDATE to an earlier place of the log first, so that nothing is lost:',
  acceptGapCommand('the checkpoint was edited by SQL'),
);

/** For a log that is not the one that was read, or that has lost its end. */
export function backRemedy(kind: 'diverged' | 'ahead-of-source'): string {
  return steps(
    'Point source.url at the server whose log was read and restart the daemon: capture then continues.',
    'Or give up what this server does not have, and read on with what it has now:',
    acceptGapCommand(kind === 'diverged' ? 'the log is another one' : 'the source lost the end of its log'),
  );
}

/** For a column, `table.column`, or a table that a rule needs and whose definition changed. */
export function changedRemedy(what: string): string {
  return steps(
    `Correct the rules for ${what}.`,
    'Then read the table as it is now. A column that is gone is null where the rules say `missing: warn`:',
    acceptGapCommand('definition changed'),
  );
}

/** For a column, `table.column`, whose values a definition may have changed. */
export function convertedRemedy(what: string): string {
  return steps(
    `Compare ${what} with what receivers were sent, and correct it by UPDATE statements, which are logged.`,
    'Then read the table as it is now:',
    acceptGapCommand('definition changed'),
  );
}

/** For a table, `schema.table`, that lost its primary key and has no UNIQUE NOT NULL key. */
export function keylessRemedy(table: string): string {
  return steps(
    `Give ${table} a primary key again: ALTER TABLE … ADD PRIMARY KEY. Rows written without one are identified by all their watched columns.`,
    'Then read the table as it is now:',
    acceptGapCommand('definition changed'),
  );
}

/** For a table, `schema.table`, that has a former primary key again. */
export function rekeyedRemedy(table: string): string {
  return steps(
    `Compare ${table} with what receivers were sent: rows that were inserted, deleted or given another value of the key in between came under the other key.`,
    'Then read the table as it is now:',
    acceptGapCommand('definition changed'),
  );
}
