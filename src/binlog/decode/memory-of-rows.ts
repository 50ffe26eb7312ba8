/** Memory of a decoded row and of each of its values besides their bytes: a short row takes ten times its size in the log. */
const ROW_BYTES = 100;
const CELL_BYTES = 32;

/** Estimates the memory of decoded rows, in bytes, from their size in the log and the number of values in each row. */
export function memoryOfRows({ bytes, rows, cells }: { bytes: number; rows: number; cells: number }): number {
  return bytes + rows * (ROW_BYTES + CELL_BYTES * cells);
}
