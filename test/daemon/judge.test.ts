import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { judgeInput } from '../../src/daemon/judge.ts';
import { writeConfig } from '../support/daemon.ts';

describe('what is said of a webhook before it is saved', () => {
  it('is that http, private networks and other ports are closed, until the configuration opens them', async () => {
    const { file, remove } = await writeConfig('source: { url: "mysql://u@127.0.0.1/ontology_db" }');
    const config = loadConfig(file, {});
    await remove();
    const judged = (url: string): string => judgeInput({ url }, config).join('\n');
    expect(judged('http://93.184.215.14/hook')).toContain('allow_http');
    expect(judged('https://10.0.0.5/hook')).toContain('allow_private_networks');
    expect(judged('https://93.184.215.14:8443/hook')).toContain('allowed_ports');
    expect(judged('https://93.184.215.14/hook')).toBe('');
    expect(judgeInput({ events: ['payment.*', 'webhook.disabled', 'payments.*'] }, config)).toEqual([
      'no event begins with "payments.", did you mean "payment.*"?',
    ]);
  });
});
