import { createRequire } from 'node:module';
import type * as Orm from 'drizzle-orm';
import type * as Columns from 'drizzle-orm/mysql-core';
import type * as Driver from 'drizzle-orm/mysql2';
import type * as Migrator from 'drizzle-orm/migrator';

/*
 * Drizzle, loaded as CommonJS. As ES modules, Node parses its package.json of 179 kB again for each of its files: 260 MB of memory at the
 * start instead of 33 (drizzle-orm 0.45, Node 24).
 */
const require = createRequire(import.meta.url);

export const { and, asc, eq, getTableColumns, getTableName, is, isNull, sql, SQL } =
  require('drizzle-orm') as typeof Orm;
export const mysqlCore = require('drizzle-orm/mysql-core') as typeof Columns;
export const {
  bigint,
  boolean,
  customType,
  double,
  index,
  int,
  mysqlEnum,
  MySqlTable,
  mysqlTable,
  smallint,
  tinyint,
  uniqueIndex,
} = mysqlCore;
export const { drizzle } = require('drizzle-orm/mysql2') as typeof Driver;
export const { readMigrationFiles } = require('drizzle-orm/migrator') as typeof Migrator;
