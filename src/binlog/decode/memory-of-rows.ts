/** What a decoded row and each of its values take in memory besides their bytes: a short row takes ten times its log. */
const ROW_BYTES = 100;
const CELL_BYTES = 32;

/** Bytes of memory that decoded rows take, estimated from their size in the log and the number of values in each row. */
export function memoryOfRows({ bytes, rows, cells }: { bytes: number; rows: number; cells: number }): number {
  return bytes + rows * (ROW_BYTES + CELL_BYTES * cells);
}
