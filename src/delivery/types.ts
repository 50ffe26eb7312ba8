/** What is to be sent once: everything an attempt needs, no more. */
export interface Request {
  eventId: string;
  eventType: string;
  url: string;
  body: string;
  /** Current secret first; a second one while a rotation overlaps. */
  secrets: readonly string[];
  headers: Readonly<Record<string, string>>;
  timeoutMs: number;
  legacySignature: boolean;
}

/** How an attempt ended. Expected ends are values; only a fault of ours throws. */
export type Outcome =
  | { kind: 'delivered'; status: number; responseBody: string; durationMs: number }
  /** Any other answer than 2xx. `retryAfterMs` is what the receiver asked for, not yet clamped. */
  | { kind: 'rejected'; status: number; responseBody: string; durationMs: number; retryAfterMs?: number }
  /** 410: the receiver wants no more. */
  | { kind: 'gone'; status: 410; responseBody: string; durationMs: number }
  /** No answer: `reason` is a stable word (`dns`, `refused`, `reset`, `tls`, `timeout`, `protocol`, …). */
  | { kind: 'failed'; reason: string; message: string; durationMs: number }
  /** The address is not allowed; nothing was sent. */
  | { kind: 'forbidden'; message: string; durationMs: number };
