import type { Claimed, Settlement, Want } from '../../src/delivery/types.ts';
import { sleep } from '../../src/lib/clock.ts';
import type { ClaimedDelivery, Webhook } from '../../src/outbox/types.ts';

type State = 'waiting' | 'pending' | 'sending' | 'delivered' | 'exhausted';

interface Row {
  delivery: ClaimedDelivery;
  state: State;
  dueMs: number;
}

/**
 * The store's contract in memory: a lane has at most one delivery that is pending or sending, a claim counts an attempt, a
 * release takes it back. It throws where the dispatcher breaks the contract, which the real store could not see.
 */
export class MemoryStore {
  readonly rows = new Map<number, Row>();
  readonly settlements: Settlement[] = [];
  readonly disabled: number[] = [];
  claims = 0;
  settles = 0;
  /** Deliveries handed back so far. */
  released = 0;
  /** Makes verbs fail while set. */
  down = false;
  /** How long a settlement takes to be durable. */
  commitMs = 0;
  #nextId = 1;

  /** Appends deliveries as capture does: up to `room` of them come back claimed. */
  append(webhookId: number, lanes: readonly string[], room = 0): ClaimedDelivery[] {
    const fresh: ClaimedDelivery[] = [];
    for (const lane of lanes) {
      const id = this.#nextId++;
      const body = JSON.stringify({ event: 'payment.received', timestamp: 't', data: { id, lane } });
      const delivery: ClaimedDelivery = {
        id,
        webhookId,
        eventId: `evt_${id}`,
        eventType: 'payment.received',
        lane,
        body,
        attempt: 0,
        occurredAtMs: Date.now(),
      };
      const row: Row = { delivery, state: this.#laneIsActive(delivery) ? 'waiting' : 'pending', dueMs: 0 };
      this.rows.set(id, row);
      if (row.state === 'pending' && fresh.length < room) fresh.push(this.#claimRow(row));
    }
    return fresh;
  }

  claim = (wants: readonly Want[]): Promise<Claimed> => {
    this.claims += 1;
    this.#checkUp();
    const now = performance.now();
    const deliveries = wants.flatMap(({ webhookId, room }) =>
      this.#pending(webhookId)
        .filter((row) => row.dueMs <= now)
        .slice(0, room)
        .map((row) => this.#claimRow(row)),
    );
    const due = wants.flatMap(({ webhookId }) => this.#pending(webhookId).map((row) => row.dueMs - now));
    return Promise.resolve({ deliveries, nextDueInMs: due.length === 0 ? undefined : Math.min(...due) });
  };

  settle = async (settlements: readonly Settlement[]): Promise<boolean> => {
    this.settles += 1;
    this.#checkUp();
    if (this.commitMs > 0) await sleep(this.commitMs);
    let due = false;
    for (const settlement of settlements) {
      const row = this.#sendingRow(settlement.delivery);
      this.settlements.push(settlement);
      if (settlement.next.kind === 'retry') {
        row.state = 'pending';
        row.dueMs = performance.now() + settlement.next.delayMs;
      } else {
        row.state = settlement.next.kind;
        due = this.#promote(row.delivery) || due;
      }
    }
    return due;
  };

  release = (deliveries: readonly ClaimedDelivery[]): Promise<void> => {
    this.#checkUp();
    this.released += deliveries.length;
    for (const delivery of deliveries) {
      const row = this.#sendingRow(delivery);
      row.state = this.#hasEarlier(row.delivery) ? 'waiting' : 'pending';
      row.dueMs = 0;
      row.delivery.attempt -= 1;
    }
    return Promise.resolve();
  };

  disable = (webhookId: number): Promise<void> => {
    this.#checkUp();
    this.disabled.push(webhookId);
    return Promise.resolve();
  };

  count(state: State, webhookId?: number): number {
    return [...this.rows.values()].filter(
      (row) => row.state === state && (webhookId === undefined || row.delivery.webhookId === webhookId),
    ).length;
  }

  #checkUp(): void {
    if (this.down) throw new Error('the store does not answer');
  }

  #laneIsActive({ webhookId, lane }: ClaimedDelivery): boolean {
    return (
      lane !== '' &&
      this.#inLane(webhookId, lane).some((row) => !['delivered', 'exhausted'].includes(row.state))
    );
  }

  #hasEarlier({ id, webhookId, lane }: ClaimedDelivery): boolean {
    return (
      lane !== '' &&
      this.#inLane(webhookId, lane).some(
        (row) => row.delivery.id < id && (row.state === 'pending' || row.state === 'sending'),
      )
    );
  }

  #inLane(webhookId: number, lane: string): Row[] {
    return [...this.rows.values()].filter(
      ({ delivery }) => delivery.webhookId === webhookId && delivery.lane === lane,
    );
  }

  #promote({ webhookId, lane }: ClaimedDelivery): boolean {
    const next =
      lane === '' ? undefined : this.#inLane(webhookId, lane).find((row) => row.state === 'waiting');
    if (next) next.state = 'pending';
    return next !== undefined;
  }

  #pending(webhookId: number): Row[] {
    return [...this.rows.values()].filter(
      (row) => row.state === 'pending' && row.delivery.webhookId === webhookId,
    );
  }

  #claimRow(row: Row): ClaimedDelivery {
    if (row.state !== 'pending') throw new Error(`${row.state} cannot be claimed`);
    row.state = 'sending';
    row.delivery = { ...row.delivery, attempt: row.delivery.attempt + 1 };
    return row.delivery;
  }

  #sendingRow({ id, attempt }: ClaimedDelivery): Row {
    const row = this.rows.get(id);
    if (row?.state !== 'sending' || row.delivery.attempt !== attempt) {
      throw new Error(`delivery ${id} is ${row?.state ?? 'unknown'}, its attempt ${attempt} is not underway`);
    }
    return row;
  }
}

/** A webhook as the engine uses it, active, with an unlimited rate. */
export function testWebhook(id: number, url: string, more: Partial<Webhook> = {}): Webhook {
  return {
    id,
    name: `webhook ${id}`,
    url,
    events: ['*'],
    isActive: true,
    managedBy: 'database',
    secrets: [`whsec_${'ab'.repeat(32)}`],
    filter: null,
    fields: null,
    headers: {},
    order: 'entity',
    maxInFlight: 8,
    ratePerSecond: null,
    timeoutMs: 5_000,
    legacySignature: true,
    clientCertificate: null,
    ...more,
  };
}
