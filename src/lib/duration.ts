/** Milliseconds of each unit. */
export const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, y: 31_536_000_000 } as const;

/** Milliseconds of `15s`, `5m`, `2h`, `90d`, `6y`, `250ms`; undefined for any other text. A year is 365 days. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|y)$/.exec(text.trim());
  if (!match) return undefined;
  return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
}

/** The shortest exact form of a number of milliseconds: 90000 is `90s`, 7200000 is `2h`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms >= unitMs[unit] && ms % unitMs[unit] === 0) return `${ms / unitMs[unit]}${unit}`;
  }
  return ms < 1_000 ? `${Math.round(ms)}ms` : `${Math.round(ms / 1_000)}s`;
}
