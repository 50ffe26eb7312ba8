import { parseInputJson } from '../../lib/exact-json.ts';
import { customType } from './drizzle.ts';

/*
 * Column types that do not depend on the defaults of the schema: an operator may have created it with any character set.
 * `_bin` collations, because our names are compared byte by byte on both flavours, whose other collations differ.
 */

/** Text written by people: up to `length` characters, compared exactly except for trailing spaces. */
export const text = customType<{
  data: string;
  driverData: string;
  config: { length: number };
  configRequired: true;
}>({
  dataType: ({ length }) => `varchar(${length}) character set utf8mb4 collate utf8mb4_bin`,
});

/**
 * The key of a row of the application, compared byte by byte. utf8mb4_bin pads: 'A-1' and 'A-1 ' would be one patient. The collation
 * without padding has another name on each server; MySQL has it since 8.0.17, and `migrate` refuses an older one.
 */
export const rowKey = customType<{
  data: string;
  driverData: string;
  config: { length: number };
  configRequired: true;
}>({
  dataType: ({ length }) =>
    `varchar(${length}) character set utf8mb4 /*!80017 collate utf8mb4_0900_bin *//*M!100600 collate utf8mb4_nopad_bin */`,
});

/** Words and ids that this program creates, without trailing spaces: one byte a character, so that index entries stay small. */
export const ascii = customType<{
  data: string;
  driverData: string;
  config: { length: number };
  configRequired: true;
}>({
  dataType: ({ length }) => `varchar(${length}) character set ascii collate ascii_bin`,
});

/** A SHA-256 in binary form: the sealed log has millions of them. */
export const digest = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'binary(32)' });

/** HMAC of an attempt (src/db/proof/marks.ts), truncated to 16 bytes: there are millions of them. */
export const attemptMark = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'binary(16)' });

/** Mark of an act: a nonce of 8 bytes and an HMAC of 16. */
export const mark = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'binary(24)' });

export const mediumBlob = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'mediumblob' });

export const longText = customType<{ data: string; driverData: string }>({
  dataType: () => 'longtext character set utf8mb4 collate utf8mb4_bin',
});

/**
 * A JSON document that people may write: a number that a double would round keeps its digits, as a raw JSON value. MariaDB with
 * `check_constraint_checks=0` also accepts text that is not JSON: it is read as text.
 */
export const inputJson = customType<{ data: unknown; driverData: string }>({
  dataType: () => 'json',
  toDriver: (value) => JSON.stringify(value),
  fromDriver(value) {
    try {
      return parseInputJson(value);
    } catch {
      return value;
    }
  },
});

/** A JSON document. MariaDB stores it as text, and MySQL's client returns it as text, so it is parsed here. */
export const json = customType<{ data: unknown; driverData: string }>({
  dataType: () => 'json',
  toDriver: (value) => JSON.stringify(value),
  fromDriver: (value) => JSON.parse(value) as unknown,
});

/** An invalid date (0000-00-00), which SQL can write without strict mode, is read as 1970. */
function readMoment(value: string): Date {
  const moment = new Date(`${value.replace(' ', 'T')}Z`);
  return Number.isNaN(moment.getTime()) ? new Date(0) : moment;
}

/** A time in UTC with milliseconds. Written as UTC whatever the session's time zone, unlike CURRENT_TIMESTAMP in a DATETIME. */
export const utcMoment = customType<{ data: Date; driverData: string }>({
  dataType: () => 'datetime(3)',
  toDriver: (value) => value.toISOString().replace('T', ' ').replace('Z', ''),
  fromDriver: readMoment,
});

/**
 * A time that the server sets when a row is edited, also by plain SQL from a session in another time zone: TIMESTAMP is the only type whose
 * ON UPDATE does not depend on the time zone. Our own sessions read it in UTC.
 */
export const editedMoment = customType<{ data: Date; driverData: string }>({
  dataType: () => 'timestamp(3)',
  toDriver: (value) => value.toISOString().replace('T', ' ').replace('Z', ''),
  fromDriver: readMoment,
});
