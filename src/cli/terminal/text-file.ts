import { readFileSync, writeFileSync } from 'node:fs';
import { AppError, messageOf } from '../../lib/errors.ts';

/** Throws AppError ERR_USAGE if the file cannot be read. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new AppError('ERR_USAGE', `the file cannot be read: ${messageOf(error)}`);
  }
}

/** Never overwrites an existing file. Throws AppError ERR_USAGE. */
export function writeNewFile(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    throw new AppError('ERR_USAGE', `the file cannot be written: ${messageOf(error)}`, {
      remedy: 'Name a file that is not there yet, in a folder that is.',
    });
  }
}
