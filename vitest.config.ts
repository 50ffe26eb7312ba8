import { defineConfig } from 'vitest/config';

/** Files that need no database server: whole rooms, and single files of the rooms that need one otherwise. */
const unit = [
  'test/{change,config,delivery,hostile,lib,receiver,tidy}/**/*.test.ts',
  'test/event/**/!(examples|live-catalogue|live-sibling).test.ts',
  'test/audit/merkle.test.ts',
  'test/binlog/{damaged-bytes,damaged-events,event-type,gtid-arithmetic,gtid,kept-bytes,log-clock,log-place,offset,transaction-time}.test.ts',
  'test/binlog/{foreign-key/cascade-reach,second-reader/range-recorder,statement/lexer}.test.ts',
  'test/cli/{completion,text,demo/receiver,demo/report,demo/sql-script}.test.ts',
  'test/daemon/{capture-status,validate-webhook,read-transactions,spilled-transaction}.test.ts',
  'test/db/{key-file,key-tree,retry-contention,sql-text}.test.ts',
];
const common = { testTimeout: 60_000, hookTimeout: 120_000, maxWorkers: 2 };

export default defineConfig({
  test: {
    projects: [
      // The files share one process: 60 starts of a process are what they would otherwise spend most of their time on.
      { test: { ...common, name: 'unit', include: unit, isolate: false } },
      {
        test: {
          ...common,
          name: 'server',
          include: ['test/**/*.test.ts'],
          exclude: unit,
          // Every file shares the three servers that the global setup starts; each test has schemas of its own.
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
    ],
  },
});
