import { haltOf, HaltError, CaptureFault } from '../../binlog/halt.ts';
import { mergeBaselines } from '../../binlog/transaction/stale-schema.ts';
import type { Baseline, Position } from '../../binlog/types.ts';
import { isInForce, learnSchema, type LiveSchema } from './live-schema.ts';

export interface FollowedSchemaOptions {
  /** The watched tables as the log showed them up to the position where reading begins. */
  baseline: Baseline;
  /** As it was when the reader was opened. */
  live: LiveSchema;
  /**
   * Called when a definition named watched tables: reads the live schema again, and throws a CaptureFault when it no longer fits. Null when more columns
   * must be read than the reader was opened for.
   */
  redefine(tables: readonly string[], baseline: Baseline): Promise<LiveSchema | null>;
}

/** The watched tables at capture's position: as the log showed them, and as in the live schema once it is in force. */
export class FollowedSchema {
  readonly #redefine: FollowedSchemaOptions['redefine'];
  #baseline: Baseline;
  /** Null once it is known what it has. */
  #live: LiveSchema | null;

  constructor({ baseline, live, redefine }: FollowedSchemaOptions) {
    this.#redefine = redefine;
    this.#baseline = baseline;
    this.#live = live;
  }

  /** Follows a transaction, which may have shown more columns. */
  follow(shown: Baseline | undefined): void {
    this.#baseline = shown ?? this.#baseline;
  }

  /** Follows a definition. True when more columns must be read than the reader knows. */
  async define(tables: readonly string[], shown: Baseline | undefined): Promise<boolean> {
    this.#live = await this.#redefine(tables, shown ?? this.#baseline);
    return this.#live === null;
  }

  /** The known tables plus what the log showed in addition. */
  grow(shown: Baseline): Baseline {
    this.#baseline = mergeBaselines(this.#baseline, shown);
    return this.#baseline;
  }

  /** Checks whether reading has reached the position at which the live schema is in force. Returns what it has beyond the reader's knowledge, or null. */
  learn(place: Position): Baseline | null {
    if (!this.#live || !isInForce(this.#live, place)) return null;
    try {
      const learned = learnSchema(this.#live, { place, baseline: this.#baseline });
      this.#live = null;
      if (learned) this.#baseline = learned;
      return learned;
    } catch (error) {
      throw error instanceof CaptureFault ? new HaltError(haltOf(error, place)) : error;
    }
  }
}
