import { describe, expect, it } from 'vitest';
import { listColumnDefinitions, readViewQueries, toTokens } from '../../src/db/schema/definitions.ts';
import { listExpectedTables, normalType } from '../../src/db/schema/expected-tables.ts';
import { toValue } from '../../src/db/schema/live-tables.ts';

/*
 * The comparison of the store's tables on versions of servers that the suite does not run: what they print of the same definition.
 * MySQL: WL#13528 for display widths (8.0.19), DEFAULT_GENERATED since 8.0.13, utf8 as utf8mb3 since 8.0.24 (introducers) and 8.0.30.
 */

const typeOf = (table: string, column: string, isMariaDb: boolean): string =>
  listExpectedTables(isMariaDb)
    .find(({ name }) => name === table)!
    .columns.find(({ name }) => name === column)!.type;

describe('a type of a column', () => {
  it.each([
    ['queue', 'webhook_id', false, ['int', 'int(11)', 'INT(11)']],
    ['queue', 'webhook_id', true, ['int(11)', 'int(10)', 'int']],
    ['queue', 'delivery_id', false, ['bigint', 'bigint(20)']],
    ['queue', 'waiting', false, ['tinyint(1)', 'tinyint']],
    ['attempts', 'response_status', false, ['smallint', 'smallint(6)']],
    ['seals', 'version', false, ['tinyint', 'tinyint(4)']],
    ['webhooks', 'headers', false, ['json']],
    ['webhooks', 'headers', true, ['longtext', 'longtext /*M!100301 COMPRESSED*/']],
    ['event_log', 'occurred_at', true, ['datetime(3)', 'datetime(3) /* mariadb-5.3 */']],
    ['webhooks', 'updated_at', false, ['timestamp(3)', 'timestamp(3) /* 5.5 binary format */']],
    ['delivery_log', 'status', false, ["enum('open','delivered','exhausted')"]],
  ] as const)('%s.%s is the same in each spelling', (table, column, isMariaDb, spellings) => {
    for (const spelling of spellings)
      expect(normalType(spelling, isMariaDb)).toBe(typeOf(table, column, isMariaDb));
  });

  it.each([
    ['queue', 'webhook_id', 'int(10) unsigned'],
    ['queue', 'webhook_id', 'bigint(20)'],
    ['queue', 'webhook_id', 'int(10) unsigned zerofill'],
    ['event_log', 'occurred_at', 'datetime'],
    ['delivery_log', 'status', "enum('OPEN','delivered','exhausted')"],
    ['delivery_log', 'status', "enum('open','delivered')"],
  ])('%s.%s is not %s', (table, column, spelling) => {
    expect(normalType(spelling, false)).not.toBe(typeOf(table, column, false));
  });
});

const valueOf = (table: string, column: string): string | null =>
  listColumnDefinitions().find((each) => each.table === table && each.column === column)!.value;
/** As information_schema.COLUMNS prints a column's default, `EXTRA` and formula. */
type Printed = readonly [value: string | null, extra: string, formula: string | null];
const generated = (formula: string): Printed => [null, 'STORED GENERATED', formula];

const spellings: Readonly<Record<string, readonly Printed[]>> = {
  'webhooks.updated_at': [
    ['CURRENT_TIMESTAMP(3)', 'DEFAULT_GENERATED on update CURRENT_TIMESTAMP(3)', ''],
    ['CURRENT_TIMESTAMP(3)', 'on update CURRENT_TIMESTAMP(3)', ''],
    ['current_timestamp(3)', 'on update current_timestamp(3)', null],
  ],
  'webhooks.created_at': [
    ['CURRENT_TIMESTAMP(3)', 'DEFAULT_GENERATED', ''],
    ['current_timestamp(3)', '', null],
  ],
  'delivery_log.created_at': [
    ['utc_timestamp(3)', 'DEFAULT_GENERATED', ''],
    ['(utc_timestamp(3))', 'DEFAULT_GENERATED', ''],
    ['utc_timestamp(3)', '', null],
  ],
  'delivery_log.status': [
    ['open', '', ''],
    ["'open'", '', null],
  ],
  'delivery_log.retry_count': [
    ['0', '', ''],
    ["'0'", '', null],
    ['0', '', null],
  ],
  'webhooks.is_active': [
    ['1', '', ''],
    ['1', '', null],
  ],
  'webhooks.headers': [
    [null, '', ''],
    ['NULL', '', null],
  ],
  'audit_log.id': [[null, 'auto_increment', '']],
  'queue.waiting': [
    ...['utf8mb4', 'utf8', 'utf8mb3', 'latin1', 'ascii'].map((charset) =>
      generated(`(\`state\` = _${charset}\\'waiting\\')`),
    ),
    generated("(`state` = _utf8mb4'waiting')"),
    generated("(`state` = 'waiting')"),
    ['NULL', 'STORED GENERATED', "`state` = 'waiting'"],
    ['NULL', 'STORED GENERATED', "`state` = _utf8mb4'waiting'"],
    ['NULL', 'PERSISTENT', "(`state` = 'waiting')"],
  ],
};

describe('a default or a formula', () => {
  it.each(Object.entries(spellings))('of %s is the same in each spelling', (name, printed) => {
    const [table = '', column = ''] = name.split('.');
    for (const [value, extra, formula] of printed)
      expect(toValue({ value, extra, formula })).toBe(valueOf(table, column));
  });

  it.each([
    ['webhooks.updated_at', ['CURRENT_TIMESTAMP(3)', 'DEFAULT_GENERATED', '']],
    ['webhooks.updated_at', ['CURRENT_TIMESTAMP', 'DEFAULT_GENERATED on update CURRENT_TIMESTAMP', '']],
    ['delivery_log.created_at', ['CURRENT_TIMESTAMP(3)', 'DEFAULT_GENERATED', '']],
    ['delivery_log.status', ['exhausted', '', '']],
    ['queue.waiting', generated("(`state` <> _utf8mb4\\'waiting\\')")],
    ['queue.waiting', generated("(`state` = _utf8mb4\\'pending\\')")],
    ['queue.waiting', [null, '', '']],
  ] as const)('of %s is not %j', (name, [value, extra, formula]) => {
    const [table = '', column = ''] = name.split('.');
    expect(toValue({ value, extra, formula })).not.toBe(valueOf(table, column));
  });
});

describe('the query of a view', () => {
  const expected = toTokens(readViewQueries().get('events')!);
  const columns = [
    ...['seq', 'id', 'type', 'entity_table', 'entity_key', 'transaction_id', 'occurred_at'],
    ...['body', 'created_at', 'read_late'],
  ]
    .map((name) => `\`e\`.\`${name}\` AS \`${name === 'body' ? 'payload' : name}\``)
    .join(',');

  it.each([
    [
      'MySQL',
      `select ${columns} from \`store\`.\`event_log\` \`e\` where (\`e\`.\`staging\` < (select \`c\`.\`staging\` from \`store\`.\`checkpoint\` \`c\` where (\`c\`.\`id\` = 1)))`,
    ],
    [
      'MySQL 8.0, with parentheses around the table',
      `select ${columns} from (\`store\`.\`event_log\` \`e\`) where ((\`e\`.\`staging\` < (select \`c\`.\`staging\` from \`store\`.\`checkpoint\` \`c\` where (\`c\`.\`id\` = 1))))`,
    ],
    [
      'MariaDB',
      `select ${columns} from \`store\`.\`event_log\` \`e\` where \`e\`.\`staging\` < (select \`c\`.\`staging\` from \`store\`.\`checkpoint\` \`c\` where \`c\`.\`id\` = 1)`,
    ],
  ])('is the same as %s prints it', (_server, printed) => {
    expect(toTokens(printed, ['store'])).toBe(expected);
    expect(toTokens(printed, ['Store', 'store'])).toBe(expected);
    expect(toTokens(printed.replace('staging` <', 'staging` <='), ['store'])).not.toBe(expected);
    expect(toTokens(printed.replaceAll('`store`', '`other`'), ['store'])).not.toBe(expected);
  });
});
