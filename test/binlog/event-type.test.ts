import { describe, expect, it } from 'vitest';
import {
  eventType,
  nameOfEvent,
  verdictOf,
  type EventVerdict,
} from '../../src/binlog/protocol/event-type.ts';

/** Every event type of MySQL up to 9.7 and of MariaDB up to 12, by the servers' own names, and what the reader does with it. */
const expected: Readonly<Record<EventVerdict, Readonly<Record<number, string>>>> = {
  read: {
    2: 'QUERY_EVENT',
    4: 'ROTATE_EVENT',
    15: 'FORMAT_DESCRIPTION_EVENT',
    16: 'XID_EVENT',
    18: 'EXECUTE_LOAD_QUERY_EVENT',
    19: 'TABLE_MAP_EVENT',
    23: 'WRITE_ROWS_EVENT_V1',
    24: 'UPDATE_ROWS_EVENT_V1',
    25: 'DELETE_ROWS_EVENT_V1',
    30: 'WRITE_ROWS_EVENT',
    31: 'UPDATE_ROWS_EVENT',
    32: 'DELETE_ROWS_EVENT',
    33: 'GTID_LOG_EVENT',
    34: 'ANONYMOUS_GTID_LOG_EVENT',
    38: 'XA_PREPARE_LOG_EVENT',
    39: 'PARTIAL_UPDATE_ROWS_EVENT',
    40: 'TRANSACTION_PAYLOAD_EVENT',
    42: 'GTID_TAGGED_LOG_EVENT',
    162: 'GTID_EVENT',
    163: 'GTID_LIST_EVENT',
    165: 'QUERY_COMPRESSED_EVENT',
    166: 'WRITE_ROWS_COMPRESSED_EVENT_V1',
    167: 'UPDATE_ROWS_COMPRESSED_EVENT_V1',
    168: 'DELETE_ROWS_COMPRESSED_EVENT_V1',
    169: 'WRITE_ROWS_COMPRESSED_EVENT',
    170: 'UPDATE_ROWS_COMPRESSED_EVENT',
    171: 'DELETE_ROWS_COMPRESSED_EVENT',
  },
  skip: {
    3: 'STOP_EVENT',
    5: 'INTVAR_EVENT',
    7: 'SLAVE_EVENT',
    9: 'APPEND_BLOCK_EVENT',
    11: 'DELETE_FILE_EVENT',
    13: 'RAND_EVENT',
    14: 'USER_VAR_EVENT',
    17: 'BEGIN_LOAD_QUERY_EVENT',
    27: 'HEARTBEAT_LOG_EVENT',
    28: 'IGNORABLE_LOG_EVENT',
    29: 'ROWS_QUERY_LOG_EVENT',
    35: 'PREVIOUS_GTIDS_LOG_EVENT',
    36: 'TRANSACTION_CONTEXT_EVENT',
    37: 'VIEW_CHANGE_EVENT',
    41: 'HEARTBEAT_LOG_EVENT_V2',
    160: 'ANNOTATE_ROWS_EVENT',
    161: 'BINLOG_CHECKPOINT_EVENT',
    164: 'START_ENCRYPTION_EVENT',
  },
  halt: {
    0: 'UNKNOWN_EVENT',
    1: 'START_EVENT_V3',
    6: 'LOAD_EVENT',
    8: 'CREATE_FILE_EVENT',
    10: 'EXEC_LOAD_EVENT',
    12: 'NEW_LOAD_EVENT',
    20: 'PRE_GA_WRITE_ROWS_EVENT',
    21: 'PRE_GA_UPDATE_ROWS_EVENT',
    22: 'PRE_GA_DELETE_ROWS_EVENT',
    26: 'INCIDENT_EVENT',
    172: 'PARTIAL_ROW_DATA_EVENT',
  },
};

describe('event types', () => {
  it('has one verdict for each of the 256 codes', () => {
    const known = Object.entries(expected).flatMap(([verdict, types]) =>
      Object.keys(types).map((type) => [Number(type), verdict] as const),
    );
    const verdicts = new Map(known);
    expect(verdicts.size).toBe(known.length);
    expect(known).toHaveLength(Object.keys(eventType).length);
    for (let type = 0; type < 256; type += 1) {
      expect(verdictOf(type), String(type)).toBe(verdicts.get(type));
      expect(nameOfEvent(type) !== undefined, String(type)).toBe(verdicts.has(type));
    }
  });
});
