import { haltOf, HaltError, CaptureFault } from '../../binlog/halt.ts';
import { mergeBaselines } from '../../binlog/transaction/stale-schema.ts';
import type { Baseline, Position } from '../../binlog/types.ts';
import { isInForce, learnSchema, type LiveSchema } from './live-schema.ts';

export interface FollowedSchemaOptions {
  /** What the log has shown of the watched tables up to where reading begins. */
  baseline: Baseline;
  /** As it was when the reader was opened. */
  live: LiveSchema;
  /**
   * A definition named watched tables: looks at the live schema again, and throws a CaptureFault when it no longer fits. Null when
   * there is more to read than the reader was opened for.
   */
  redefine(tables: readonly string[], baseline: Baseline): Promise<LiveSchema | null>;
}

/** What is known of the watched tables where capture stands: by what the log has shown, and by the live schema once it is in force. */
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

  /** Follows a transaction, which may have shown more. */
  follow(shown: Baseline | undefined): void {
    this.#baseline = shown ?? this.#baseline;
  }

  /** Follows a definition. True when there is more to read than the reader knows. */
  async define(tables: readonly string[], shown: Baseline | undefined): Promise<boolean> {
    this.#live = await this.#redefine(tables, shown ?? this.#baseline);
    return this.#live === null;
  }

  /** What is known together with what the log has shown besides. */
  grow(shown: Baseline): Baseline {
    this.#baseline = mergeBaselines(this.#baseline, shown);
    return this.#baseline;
  }

  /** Looks whether reading has come so far that the live schema is in force. Returns what it shows beyond what the reader knows, or null. */
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
