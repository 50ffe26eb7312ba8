import { hash } from 'node:crypto';

/** 48 bits of a hash: with a million lanes at once, two share a number about once in 500 times, and then only wait for each other. */
const hexDigits = 12;

/** The number of the lane of one webhook and entity, from the entity's key as it is or as the store keeps it. */
export function laneOf(webhookId: number, entity: { table: string; key: string }): number {
  const digest = hash('sha1', `${webhookId}\0${entity.table}\0${storedKey(entity.key)}`, 'hex');
  return Number.parseInt(digest.slice(0, hexDigits), 16);
}

/** As in ClaimedDelivery: empty without one. */
export function laneText(lane: number | null): string {
  return lane === null ? '' : String(lane);
}

const maximumKeyLength = 255;

/**
 * An entity's key as the store keeps it: whole up to 255 characters, else its beginning and a hash of the whole. Half a character,
 * which UTF-8 cannot write, becomes U+FFFD here and not in the store: what is read there must equal what was written.
 */
export function storedKey(key: string): string {
  if (key.length <= maximumKeyLength) return key.toWellFormed();
  const digest = hash('sha256', key, 'hex');
  return `${key.slice(0, maximumKeyLength - digest.length - 1).toWellFormed()}#${digest}`;
}
