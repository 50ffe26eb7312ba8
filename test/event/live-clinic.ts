import type { ServerVariant } from '../../src/demo/server-binaries.ts';
import { Ajv } from 'ajv';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readDictionary } from '../../src/binlog/source/dictionary.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { compileRules } from '../../src/event/mapping/compile.ts';
import { systemEventTypes } from '../../src/event/system-events.ts';
import { eventSchemas } from '../../src/event/rule/payload-schema.ts';
import { readRules } from '../../src/event/rule/rule-file.ts';
import type { Rules } from '../../src/event/types.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { startDaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received } from '../support/receiver.ts';
import { sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import { timeZone } from './clinic.ts';

/** Statements of one transaction, and the events that it must fire: type and data, with T for the commit time. */
export type Step = readonly [sql: string, ...events: string[]];

/** A clinic on a real server, and a daemon that sends its events to a receiver over HTTP. */
export interface LiveClinic {
  /** As the daemon has compiled them. */
  rules: Rules;
  /** Runs statements; gives the webhooks that came of them, in the order of the events. */
  play(sql: string): Promise<Received[]>;
  close(): Promise<void>;
}

/** After each step a row of a table that no clinic has: when its event is there, so are all before it. */
const milestone = 'test.milestone';
const milestoneRule = `
  ${milestone}: { table: milestones, on: insert, data: { n: n } }
`;

export async function openClinic(
  variant: ServerVariant,
  schema: TestSchema,
  rulesFile: string,
): Promise<LiveClinic> {
  await schema.query('CREATE TABLE milestones (n INT PRIMARY KEY)');
  const { rules, ajv } = await compileFor(schema, rulesFile);
  const receiver = await startTestReceiver();
  const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
  const file = join(folder, 'events.yaml');
  await writeFile(file, (await readFile(rulesFile, 'utf8')) + milestoneRule);
  const store = `store_${randomBytes(5).toString('hex')}`;
  const daemon = await startDaemonProcess({
    sourceUrl: schema.url(),
    storeUrl: `${sharedServer(variant).url}/${store}`,
    yaml: `rules: ${file}\n${receiver.delivery}\nwebhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]`,
  });
  await daemon.untilReady();
  const byId = new Map<string, Received>();
  let steps = 0;
  let seen = 0;

  async function play(sql: string): Promise<Received[]> {
    await schema.query(`SET time_zone = '+00:00'; ${sql}`);
    steps += 1;
    await schema.query('INSERT INTO milestones VALUES (?)', [steps]);
    const last = await waitFor(() => lastMilestone(steps), {
      timeoutMs: 60_000,
      what: 'the step to be read',
    });
    const events = await schema.query(
      // Our own events (a parent's delete whose cascade is not in the log) are not among those of "*".
      `SELECT id FROM ${store}.event_log WHERE seq > ? AND seq < ? AND type NOT IN (?) ORDER BY seq`,
      [seen, last, systemEventTypes],
    );
    seen = last;
    const received = await waitFor(() => allOf(events.map(({ id }) => String(id))), {
      timeoutMs: 60_000,
      what: 'the webhooks of the step',
    });
    for (const { body, event, verified } of received) {
      expect(verified).toBe(true);
      expect(ajv.validate(event, JSON.parse(body)), ajv.errorsText()).toBe(true);
    }
    return received;
  }

  async function lastMilestone(n: number): Promise<number> {
    const [row] = await schema.query(`SELECT seq FROM ${store}.event_log WHERE type = ? AND entity_key = ?`, [
      milestone,
      String(n),
    ]);
    return Number(row!['seq']);
  }

  function allOf(ids: readonly string[]): Received[] | null {
    for (const each of receiver.received.splice(0)) byId.set(each.id, each);
    const found = ids.map((id) => byId.get(id));
    return found.includes(undefined) ? null : (found as Received[]);
  }

  return {
    rules,
    play,
    async close() {
      await daemon.kill();
      await receiver.stop();
      await schema.query(`DROP DATABASE IF EXISTS ${store}`);
      await rm(folder, { recursive: true });
    },
  };
}

async function compileFor(schema: TestSchema, rulesFile: string): Promise<{ rules: Rules; ajv: Ajv }> {
  const source = openSource(parseDatabaseUrl(schema.url()));
  const { tables } = await readDictionary(source, await source.identify());
  await source.close();
  const file = readRules(rulesFile);
  const ajv = new Ajv({ strict: true, allowUnionTypes: true });
  for (const [type, each] of eventSchemas(file, tables)) ajv.addSchema(each, type);
  return { rules: compileRules(file, { schema: tables, timeZone }), ajv };
}

/** Plays a whole story, which must become exactly the webhooks that it says, each with an id of its own. */
export async function expectStory({ play }: LiveClinic, story: readonly Step[]): Promise<Received[]> {
  const seen: Step[] = [];
  const all: Received[] = [];
  for (const [sql] of story) {
    const received = await play(sql);
    all.push(...received);
    seen.push([sql, ...received.map(told)]);
  }
  expect(seen).toEqual(story);
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  return all;
}

function told({ event, body }: Received): string {
  const { timestamp } = JSON.parse(body) as { timestamp: string };
  return `${event} ${body.slice(body.indexOf('"data":') + 7, -1).replaceAll(`"${timestamp}"`, 'T')}`;
}

/** The event types of a story. */
export function typesIn(story: readonly Step[]): string[] {
  return [...new Set(story.flatMap(([, ...events]) => events.map((each) => each.split(' ')[0]!)))];
}
