/** Decodes a column's bytes in its character set into the characters that `CONVERT(… USING utf8mb4)` returns. */
export type TextDecode = (bytes: Buffer) => string;
