import { fork } from 'node:child_process';
import { once } from 'node:events';

/** The operations of a part: plain values in and out, because they are sent between processes. */
export type Verbs = Record<string, (input: never) => Promise<unknown>>;

/** One contender, receiver or load generator, in its own process, so that no two of them share an event loop or a heap. */
export interface Part<V> {
  readonly pid: number;
  call<K extends keyof V & string>(
    verb: K,
    ...input: V[K] extends (input: infer I) => unknown ? (unknown extends I ? [] : [I]) : never
  ): V[K] extends (input: never) => Promise<infer R> ? Promise<R> : never;
  stop(): Promise<void>;
}

/** A question to a part, and its answer. */
export interface Question {
  id: number;
  verb: string;
  input: unknown;
}

export type Answer = { id: number; result: unknown } | { id: number; error: string };

const entry = new URL('part-process.ts', import.meta.url);

export interface PartOptions {
  /** `import.meta.url` of the module that exports the factory. */
  module: string;
  /** Name of the export, a function that returns the verbs. */
  factory: string;
  /** Folder for a CPU profile, written when the part stops. */
  profileDir?: string | undefined;
}

export async function startPart<V>({ module, factory, profileDir }: PartOptions): Promise<Part<V>> {
  const child = fork(entry, [module, factory], {
    serialization: 'advanced',
    execArgv: profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`],
  });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  const exited = once(child, 'exit').then(([code]) => {
    for (const { reject } of waiting.values())
      reject(new Error(`${factory} ended with ${String(code)} before it answered`));
  });
  child.on('message', (answer: Answer) => {
    const question = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) question?.reject(new Error(answer.error));
    else question?.resolve(answer.result);
  });
  let asked = 0;
  const ask = (verb: string, input: unknown): Promise<unknown> => {
    const question = Promise.withResolvers<unknown>();
    const id = (asked += 1);
    waiting.set(id, question);
    child.send({ id, verb, input } satisfies Question);
    return question.promise;
  };
  await ask('', undefined);
  return {
    pid: child.pid!,
    call: ask as unknown as Part<V>['call'],
    async stop() {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}
