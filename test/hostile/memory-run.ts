import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createSender } from '../../src/delivery/send/send.ts';
import { described } from './misbehaviour.ts';
import { testRequest } from './request.ts';

/** What the process holds, in MiB, garbage collected. */
export interface Memory {
  rss: number;
  heap: number;
  external: number;
}

export interface MemoryRun {
  /** After the warm-up, then after each step. */
  samples: Memory[];
  /** How often each outcome came. */
  outcomes: Record<string, number>;
}

const inFlight = 32;
/** Slow misbehaviours cost this each. */
const timeoutMs = 100;

function measure(): Memory {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 18) / 4;
  return { rss: mebibytes(rss), heap: mebibytes(heapUsed), external: mebibytes(external) };
}

/**
 * Sends `warmUp` and then `steps` times `count` requests to a server that answers each in another hostile way, and measures
 * this process after the warm-up and after each step.
 */
export async function runHostileResponses(warmUp: number, count: number, steps = 1): Promise<MemoryRun> {
  const child = fork(new URL('./memory-server.ts', import.meta.url), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [port] = (await once(child, 'message')) as [number];
  const sender = createSender({
    guard: {
      allowHttp: true,
      allowPrivateNetworks: [{ cidr: '127.0.0.0/8', port }],
      allowedPorts: [],
      forbidden: [],
    },
  });
  const outcomes: Record<string, number> = {};
  const request = testRequest({ url: `http://127.0.0.1:${port}/hook`, timeoutMs });

  async function send(total: number): Promise<void> {
    let left = total;
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const kind = described(await sender.send(request));
        outcomes[kind] = (outcomes[kind] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
  }

  try {
    await send(warmUp);
    const samples = [measure()];
    for (let step = 0; step < steps; step += 1) {
      await send(count);
      samples.push(measure());
    }
    return { samples, outcomes };
  } finally {
    await sender.close();
    child.disconnect();
  }
}
