import type { PrivateServer } from '../../src/demo/private-server.ts';
import type { Part } from './part.ts';
import { spreadOf, type Spread } from './spread.ts';

export const scales = ['small', 'normal', 'full'] as const;
/** small: a try of seconds; normal: what a comparison needs; full: with the ten million and the million rows. */
export type Scale = (typeof scales)[number];

/** What a measure works with. What it starts ends with it. */
export interface Bench {
  readonly server: PrivateServer;
  readonly rounds: number;
  readonly scale: Scale;
  /** Where profiles of our own processes go. */
  readonly profileDir: string | undefined;
  /** A part from the calling module; `profiled` when it is ours. */
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

/** A measured pair: ours and what it is held against. */
export interface Finding {
  measure: string;
  unit: string;
  against: string;
  ours: Spread;
  limit: Spread;
  /** Ours by the limit, round by round. */
  ratio: Spread;
  /** Left out where the figure is for orientation only. */
  reach?: Reach;
  reached?: boolean;
  /** What the figures do not say. */
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

/** The run lost, doubled or misplaced something: its figures are worth nothing. */
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

/** A round to warm up, then so many that count, each side first in turn: what a noisy machine does to one it does to both. */
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
