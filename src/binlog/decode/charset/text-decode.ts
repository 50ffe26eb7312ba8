/** Bytes of a column in its character set as text: the characters that `CONVERT(… USING utf8mb4)` returns. */
export type TextDecode = (bytes: Buffer) => string;
