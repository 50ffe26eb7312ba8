/** A subscription, as the engine uses it. Secrets are in the clear here and nowhere else. */
export interface Webhook {
  id: number;
  name: string;
  url: string;
  /** Event types, `noun.*`, or `*`. */
  events: readonly string[];
  isActive: boolean;
  managedBy: 'file' | 'database';
  /** Current secret first; a second one while a rotation overlaps. */
  secrets: readonly string[];
  filter: Readonly<Record<string, readonly (string | number | boolean | null)[]>> | null;
  fields: readonly string[] | null;
  headers: Readonly<Record<string, string>>;
  order: 'entity' | 'none';
  maxInFlight: number;
  /** Requests a second; null is without a limit. */
  ratePerSecond: number | null;
  timeoutMs: number;
  legacySignature: boolean;
}

/** A delivery that this process may send now: claimed in the store under `claim` until it is settled or the claim expires. */
export interface ClaimedDelivery {
  id: number;
  webhookId: number;
  eventId: string;
  eventType: string;
  /** Deliveries of one lane and webhook go one after the other; empty when the webhook has `order: none`. */
  lane: string;
  body: string;
  /** 1 for the first. */
  attempt: number;
  /** When the change was committed at the source, ms UTC: for the latency histogram. */
  occurredAtMs: number;
}
