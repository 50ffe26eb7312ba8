/** A cursor over the bytes of one event. Reading past the end throws a RangeError: the rest of a truncated event is never guessed. */
export class ByteReader {
  readonly buffer: Buffer;
  offset: number;
  end: number;

  constructor(buffer: Buffer, offset = 0, end = buffer.length) {
    this.buffer = buffer;
    this.offset = offset;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  /** Never moves backwards: throws a RangeError for a damaged length that is negative or not a number, too. */
  skip(bytes: number): void {
    const next = this.offset + bytes;
    if (!(bytes >= 0 && next <= this.end))
      throw new RangeError(`event ends ${next - this.end} bytes too early`);
    this.offset = next;
  }

  uint8(): number {
    const at = this.offset;
    this.skip(1);
    return this.buffer[at]!;
  }

  uint16(): number {
    const at = this.offset;
    this.skip(2);
    return this.buffer.readUInt16LE(at);
  }

  uint32(): number {
    const at = this.offset;
    this.skip(4);
    return this.buffer.readUInt32LE(at);
  }

  uint48(): number {
    const at = this.offset;
    this.skip(6);
    return this.buffer.readUIntLE(at, 6);
  }

  uint64(): bigint {
    const at = this.offset;
    this.skip(8);
    return this.buffer.readBigUInt64LE(at);
  }

  /** Little-endian unsigned integer of 1 to 6 bytes. */
  uintLE(bytes: number): number {
    const at = this.offset;
    this.skip(bytes);
    return this.buffer.readUIntLE(at, bytes);
  }

  /** Big-endian unsigned integer of 1 to 6 bytes. */
  uintBE(bytes: number): number {
    const at = this.offset;
    this.skip(bytes);
    return this.buffer.readUIntBE(at, bytes);
  }

  /** Length-encoded integer of the client/server protocol. */
  lengthEncoded(): number {
    const first = this.uint8();
    if (first < 251) return first;
    if (first === 252) return this.uint16();
    if (first === 253) return this.uintLE(3);
    if (first === 254) return Number(this.uint64());
    throw new RangeError(`${first} does not begin a length-encoded integer`);
  }

  /** A view of the next bytes, valid only while the event is being handled. */
  bytes(length: number): Buffer {
    const at = this.offset;
    this.skip(length);
    return this.buffer.subarray(at, at + length);
  }

  utf8(length: number): string {
    const at = this.offset;
    this.skip(length);
    return this.buffer.toString('utf8', at, at + length);
  }
}
