import { DoesNotOpenError } from '../../crypto/cipher.ts';
import { AppError } from '../../lib/errors.ts';

/** A key of a patient cannot be decrypted: SQL edited its row, or the encryption key is a different one of the same name. */
export class SubjectKeyError extends AppError {
  readonly column: string;

  constructor({ id }: { id: number }, column: 'key' | 'payload_key', cause: DoesNotOpenError) {
    super(
      'ERR_SECRET_KEY',
      `subject_keys, row ${id}: the column ${column} was edited, or its encryption key is another one of the same name (${cause.message})`,
      { cause },
    );
    this.column = column;
  }
}

/** Decrypts a key of a row of `subject_keys` with `read`. Throws SubjectKeyError, which names the row and not the patient. */
export function openOfRow<T>(row: { id: number }, column: 'key' | 'payload_key', read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof DoesNotOpenError ? new SubjectKeyError(row, column, error) : error;
  }
}
