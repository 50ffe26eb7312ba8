/**
 * The body of a delivery, `{"event":…,"timestamp":…,"data":…}`: compact, with the keys in this order.
 * @param data the JSON text of an object
 */
export function renderBody(type: string, timestamp: string, data: string): string {
  return `{"event":"${type}","timestamp":"${timestamp}","data":${data}}`;
}

/** ISO 8601 in UTC with milliseconds. */
export const formatTimestamp = (ms: number): string => new Date(ms).toISOString();
