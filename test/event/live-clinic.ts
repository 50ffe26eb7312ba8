import { Ajv } from 'ajv';
import { expect } from 'vitest';
import { readDictionary } from '../../src/binlog/dictionary.ts';
import { createLookUp } from '../../src/binlog/source-lookup.ts';
import { openSource } from '../../src/binlog/source.ts';
import type { Flavour } from '../../src/binlog/types.ts';
import { netChanges } from '../../src/change/net-changes.ts';
import { compileRules } from '../../src/event/compile.ts';
import { eventSchemas } from '../../src/event/payload-schema.ts';
import { readRules } from '../../src/event/rule-file.ts';
import type { DomainEvent, Rules } from '../../src/event/types.ts';
import { parseDatabaseUrl } from '../../src/lib/database-url.ts';
import { endOfLog, openReader, takeUntil } from '../support/read-log.ts';
import type { TestSchema } from '../support/server.ts';
import { timeZone } from './clinic.ts';

/** Statements of one transaction, and the events that it must fire: type and data, with T for the commit time. */
export type Step = readonly [sql: string, ...events: string[]];

/** A clinic on a real server, its rules, and a reader of its log. */
export interface LiveClinic {
  rules: Rules;
  /** Runs statements and maps what the log then says of them. Each body is checked against its event's JSON schema. */
  play(sql: string): Promise<DomainEvent[]>;
  close(): Promise<void>;
}

export async function openClinic(
  flavour: Flavour,
  schema: TestSchema,
  rulesFile: string,
): Promise<LiveClinic> {
  const source = openSource(parseDatabaseUrl(schema.url()));
  const dictionary = await readDictionary(source, await source.identify());
  const file = readRules(rulesFile);
  const rules = compileRules(file, { schema: dictionary.tables, timeZone });
  const watch = Object.fromEntries([...rules.watch].map(([table, columns]) => [table, [...columns]]));
  const jsonColumns = new Map(
    [...dictionary.tables].map(([table, { columns }]) => {
      const json = columns.filter(({ kind }) => kind === 'json').map(({ name }) => [name, 'json'] as const);
      return [table, { types: new Map(json), rowEnd: null }];
    }),
  );
  const stream = await openReader({ flavour, schema, watch, hints: Object.fromEntries(jsonColumns) });
  const ajv = new Ajv({ strict: true, allowUnionTypes: true });
  for (const [type, each] of eventSchemas(file, dictionary.tables)) ajv.addSchema(each, type);

  async function play(sql: string): Promise<DomainEvent[]> {
    await schema.query(`SET time_zone = '+00:00'; ${sql}`);
    const end = await endOfLog(flavour, schema);
    const parts = await takeUntil(stream, ({ commit }) => {
      if (!commit) return false;
      const { file: name, offset } = commit.position;
      return name > end.file || (name === end.file && offset >= end.offset);
    });
    const resolve = createLookUp(source, dictionary);
    const events = await Promise.all(
      parts.map(({ id, rows, commit }) =>
        rules.map(netChanges(rows), {
          lineage: 'test',
          transactionId: id,
          committedAtMs: commit!.committedAtMs,
          resolve,
        }),
      ),
    );
    for (const { type, body } of events.flat()) {
      expect(ajv.validate(type, JSON.parse(body)), ajv.errorsText()).toBe(true);
    }
    return events.flat();
  }

  return {
    rules,
    play,
    async close() {
      stream.close();
      await source.close();
    },
  };
}

/** Plays a whole story, which must become exactly the events that it says, each with an id of its own. */
export async function expectStory({ play }: LiveClinic, story: readonly Step[]): Promise<DomainEvent[]> {
  const seen: Step[] = [];
  const events: DomainEvent[] = [];
  for (const [sql] of story) {
    const fired = await play(sql);
    events.push(...fired);
    seen.push([sql, ...fired.map(told)]);
  }
  expect(seen).toEqual(story);
  expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
  return events;
}

function told({ type, body }: DomainEvent): string {
  const { timestamp } = JSON.parse(body) as { timestamp: string };
  return `${type} ${body.slice(body.indexOf('"data":') + 7, -1).replaceAll(`"${timestamp}"`, 'T')}`;
}

/** The event types of a story. */
export function typesIn(story: readonly Step[]): string[] {
  return [...new Set(story.flatMap(([, ...events]) => events.map((each) => each.split(' ')[0]!)))];
}
