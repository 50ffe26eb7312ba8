/** Layout of a geometry: its SRID, then WKB (OGC 06-103r4, section 8): byte order, type, and counts or coordinates. */
const SRID_BYTES = 4;

const POINT = 1;
const LINE_STRING = 2;
const POLYGON = 3;

/** Returns the coordinates in the bytes of a GEOMETRY column, in order. Throws a RangeError for truncated bytes. */
export function coordinatesOf(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: number[] = [];
  let at = SRID_BYTES;
  const geometry = (): void => {
    const little = view.getUint8(at) === 1;
    const type = view.getUint32(at + 1, little);
    at += 5;
    const count = (): number => {
      at += 4;
      return view.getUint32(at - 4, little);
    };
    const points = (n: number): void => {
      for (let i = 0; i < 2 * n; i += 1) {
        found.push(view.getFloat64(at, little));
        at += 8;
      }
    };
    if (type === POINT) points(1);
    else if (type === LINE_STRING) points(count());
    else if (type === POLYGON) for (let rings = count(); rings > 0; rings -= 1) points(count());
    else for (let parts = count(); parts > 0; parts -= 1) geometry();
  };
  if (bytes.byteLength > 0) geometry();
  return found;
}

/** Returns the coordinates in zongji's nested lists of `{ x, y }`, in order. */
export function flatCoordinates(value: unknown): number[] {
  if (Array.isArray(value)) return value.flatMap(flatCoordinates);
  if (typeof value !== 'object' || value === null || !('x' in value) || !('y' in value)) return [];
  return [Number(value.x), Number(value.y)];
}
