/** Which part of each webhook's limits is this process's: `of` processes live on the store, and it is number `rank` of them, from 0. */
export interface Share {
  rank: number;
  of: number;
}

export const wholeShare: Share = { rank: 0, of: 1 };

/** This process's part of a whole number. The parts of all processes add up to it; some may be 0. */
export function shareOf(count: number, { rank, of }: Share): number {
  return Math.floor(count / of) + (rank < count % of ? 1 : 0);
}
