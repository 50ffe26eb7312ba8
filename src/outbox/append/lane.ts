import { hash } from 'node:crypto';

/** 48 bits of a hash: with a million lanes at once, the chance that two share a number is about 1 in 500, and then they only wait for each other. */
const hexDigits = 12;

/** The number of the lane of one webhook and entity, from the entity's key, whole or as stored. */
export function laneOf(webhookId: number, entity: { table: string; key: string }): number {
  const digest = hash('sha1', `${webhookId}\0${entity.table}\0${storedKey(entity.key)}`, 'hex');
  return Number.parseInt(digest.slice(0, hexDigits), 16);
}

/** As in ClaimedDelivery: empty without a lane. */
export function laneText(lane: number | null): string {
  return lane === null ? '' : String(lane);
}

const maximumKeyLength = 255;

/**
 * An entity's key as stored: whole up to 255 characters, otherwise its beginning and a hash of the whole key. A lone surrogate, which UTF-8 cannot encode,
 * becomes U+FFFD here and not in the store, so that the stored key equals the written one.
 */
export function storedKey(key: string): string {
  if (key.length <= maximumKeyLength) return key.toWellFormed();
  const digest = hash('sha256', key, 'hex');
  return `${key.slice(0, maximumKeyLength - digest.length - 1).toWellFormed()}#${digest}`;
}
