import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { builtInRulesFile } from '../../src/event/rule/rule-file.ts';
import { systemEventTypes } from '../../src/event/system-events.ts';
import type { EventTypeInfo } from '../../src/event/types.ts';
import { runCli, writeConfig } from '../support/daemon.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';

describe('events list', () => {
  it('shows the rules of a file without a configuration and a database', async () => {
    const { code, stdout } = await runCli(['events', 'list', '--rules', builtInRulesFile]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      'patient.status_changed\n  on    update of patients where status changes\n  data  patient_id, old_status, new_status, timestamp\n',
    );
    const json = await runCli(['events', 'list', '--rules', builtInRulesFile, '--json']);
    const { events } = JSON.parse(json.stdout) as { events: EventTypeInfo[] };
    expect(events).toHaveLength(15);
    expect(events[2]).toEqual({
      type: 'patient.status_changed',
      table: 'patients',
      rule: 'update of patients where status changes',
      fields: ['patient_id', 'old_status', 'new_status', 'timestamp'],
    });
  });

  it('tells the mistakes of a file with their lines, and exits 2', async () => {
    const rules = await writeConfig('events:\n  a.b: { tabel: t, data: {} }\n');
    const { code, stderr } = await runCli(['events', 'list', '--rules', rules.file]);
    await rules.remove();
    expect(code).toBe(2);
    expect(stderr).toContain(':2:10 events.a.b.tabel: there is no key "tabel" here, did you mean "table"?');
  });
});

describe.each(flavours)('events list --schema, on %s', (flavour) => {
  let clinic: TestSchema;
  beforeAll(async () => {
    clinic = await createSchema(sharedServer(flavour));
    await loadClinic(await clinic.connect());
  });
  afterAll(() => clinic.drop());

  it('prints a schema for each event, which takes its body and refuses another', async () => {
    const config = await writeConfig(`source: { url: "${clinic.url()}" }\n`);
    const { code, stdout } = await runCli(['events', 'list', '--schema', '--config', config.file]);
    await config.remove();
    expect(code).toBe(0);
    const schemas = JSON.parse(stdout) as Record<string, object>;
    expect(Object.keys(schemas)).toHaveLength(15 + systemEventTypes.length);
    const validate = new Ajv({ strict: true, allowUnionTypes: true }).compile(
      schemas['patient.status_changed']!,
    );
    const timestamp = '2026-03-07T15:30:00.000Z';
    const body = (data: object): object => ({ event: 'patient.status_changed', timestamp, data });
    const data = { patient_id: 1, old_status: 'active', new_status: 'on_hold', timestamp };
    expect(validate(body(data))).toBe(true);
    expect(validate(body({ ...data, new_status: 'gone' }))).toBe(false);
    expect(validate(body({ ...data, phone: '809' }))).toBe(false);
  });
});
