import type { LogEvent } from '../protocol/log-event.ts';
import { readPayload } from '../protocol/read-payload.ts';

export interface UnpackVerbs {
  handle(event: LogEvent): void | Promise<void>;
  /** Resolves when there is room for what the events bring. */
  room(): Promise<void> | undefined;
}

/** Handles the events of a compressed transaction: a small one's at once, a large one's while it is unpacked. */
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
