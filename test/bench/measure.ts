import type { PrivateServer } from '../../src/demo/private-server.ts';
import type { Part } from './part.ts';
import { spreadOf, type Spread } from './spread.ts';

export const scales = ['small', 'normal', 'full'] as const;
/** small: a trial of seconds; normal: enough for a comparison; full: with the ten million and the million rows. */
export type Scale = (typeof scales)[number];

/** The environment of a measure. Everything that the measure starts through it is stopped at its end. */
export interface Bench {
  readonly server: PrivateServer;
  readonly rounds: number;
  readonly scale: Scale;
  /** Folder for profiles of our own processes. */
  readonly profileDir: string | undefined;
  /** Starts a part from the calling module; set `profiled` for our own code. */
  part<V>(module: string, factory: string, options?: { profiled?: boolean }): Promise<Part<V>>;
  /** A new schema. */
  schema(prefix: string): Promise<BenchSchema>;
  query(sql: string): Promise<Record<string, unknown>[]>;
  defer(end: () => Promise<unknown>): void;
  progress(message: string): void;
}

export interface BenchSchema {
  name: string;
  url: string;
}

/** A measured pair: ours and the reference. */
export interface Finding {
  measure: string;
  unit: string;
  against: string;
  ours: Spread;
  limit: Spread;
  /** Ours divided by the limit, for each round. */
  ratio: Spread;
  /** Absent if the figure is for orientation only. */
  reach?: Reach;
  reached?: boolean;
  /** An explanation that the figures do not give. */
  note?: string;
}

export interface Reach {
  at: 'least' | 'most';
  value: number;
}

export const atLeast = (value: number): Reach => ({ at: 'least', value });
export const atMost = (value: number): Reach => ({ at: 'most', value });

export interface Measure {
  name: string;
  run(bench: Bench): Promise<Finding[]>;
}

/** The run lost, duplicated or misplaced something: its figures are invalid. */
export class VoidRun extends Error {}

export function check(holds: boolean, message: string): void {
  if (!holds) throw new VoidRun(message);
}

/** One reading of both sides. */
export interface Reading {
  ours: number;
  limit: number;
}

export interface Sides {
  ours(round: number): Promise<number>;
  limit(round: number): Promise<number>;
}

/** One warm-up round, then `rounds` that count. The sides alternate in going first, so that noise of the machine affects both. */
export async function interleave(rounds: number, { ours, limit }: Sides): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const reading = { ours: 0, limit: 0 };
    const take = [
      async () => (reading.ours = await ours(round)),
      async () => (reading.limit = await limit(round)),
    ];
    for (const side of round % 2 === 0 ? take : take.reverse()) await side();
    if (round > 0) readings.push(reading);
  }
  return readings;
}

export interface Judged extends Pick<Finding, 'measure' | 'unit' | 'against' | 'reach'> {
  readings: readonly Reading[];
  note?: string;
}

export function judge({ readings, reach, ...rest }: Judged): Finding {
  const ratio = spreadOf(readings.map(({ ours, limit }) => ours / limit));
  return {
    ...rest,
    ours: spreadOf(readings.map(({ ours }) => ours)),
    limit: spreadOf(readings.map(({ limit }) => limit)),
    ratio,
    ...(reach && {
      reach,
      reached: reach.at === 'least' ? ratio.median >= reach.value : ratio.median <= reach.value,
    }),
  };
}
