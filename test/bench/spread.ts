/** The median of several readings, and their spread: the quartiles. */
export interface Spread {
  median: number;
  q1: number;
  q3: number;
}

/** The value that a share `q` of the readings does not exceed, interpolated. */
export function quantile(readings: readonly number[], q: number): number {
  const sorted = [...readings].sort((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) throw new RangeError('no readings');
  return below + (above - below) * (place - Math.floor(place));
}

export function spreadOf(readings: readonly number[]): Spread {
  return {
    median: quantile(readings, 0.5),
    q1: quantile(readings, 0.25),
    q3: quantile(readings, 0.75),
  };
}
