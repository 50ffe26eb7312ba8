import { createInterface } from 'node:readline/promises';
import { AppError } from '../lib/errors.ts';

/** `--yes`, of every command that asks. */
export interface ConfirmOptions {
  yes?: true;
}

export const yesFlag = '-y, --yes';
export const yesDescription = 'do not ask';

/** Asks before something that cannot be undone. Throws AppError ERR_USAGE when the answer is no, or when nobody can be asked. */
export async function confirm(question: string, { yes }: ConfirmOptions): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) {
    throw new AppError('ERR_USAGE', 'this asks before it acts, and there is no terminal to ask on', {
      remedy: 'Add --yes.',
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question} [y/N] `);
  terminal.close();
  if (!/^(y|yes|s|si|sí)$/i.test(answer.trim())) {
    throw new AppError('ERR_USAGE', 'nothing was done', { remedy: 'Answer y, or add --yes.' });
  }
}
