import type { LogEvent } from '../protocol/log-event.ts';
import { readPayload } from '../protocol/read-payload.ts';

export interface UnpackVerbs {
  handle(event: LogEvent): void | Promise<void>;
  /** Resolves when there is room for the rows of the events. */
  room(): Promise<void> | undefined;
}

/** Handles the events of a compressed transaction: those of a small one at once, those of a large one while it is decompressed. */
export function unpack(event: LogEvent, verbs: UnpackVerbs): void | Promise<void> {
  const inner = readPayload(event);
  if (!Array.isArray(inner)) return unpackRest(inner, verbs);
  for (const [index, each] of inner.entries()) {
    const pending = verbs.handle(each);
    if (pending) return pending.then(() => unpackRest(inner.slice(index + 1), verbs));
  }
}

async function unpackRest(
  inner: AsyncIterable<LogEvent> | readonly LogEvent[],
  { handle, room }: UnpackVerbs,
): Promise<void> {
  for await (const each of inner) {
    await handle(each);
    await room();
  }
}
