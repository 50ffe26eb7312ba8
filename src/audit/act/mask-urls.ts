import { maskUrl } from '../../lib/mask-url.ts';

/** Returns the details of an act with every `url` in them masked, at any depth, including acts that an earlier version wrote. */
export function maskUrls(details: unknown): unknown {
  if (Array.isArray(details)) return details.map(maskUrls);
  if (typeof details !== 'object' || details === null) return details;
  return Object.fromEntries(
    Object.entries(details).map(([key, value]) => [
      key,
      key === 'url' && typeof value === 'string' ? maskUrl(value) : maskUrls(value),
    ]),
  );
}
