/** This process's share of each webhook's limits: `of` processes use the store, and this is number `rank` of them, from 0. */
export interface Share {
  rank: number;
  of: number;
}

export const wholeShare: Share = { rank: 0, of: 1 };

/** This process's share of a whole number. The shares of all processes add up to it; some may be 0. */
export function shareOf(count: number, { rank, of }: Share): number {
  return Math.floor(count / of) + (rank < count % of ? 1 : 0);
}
