import { createInterface } from 'node:readline/promises';
import { AppError } from '../../lib/errors.ts';
import { forTerminal } from './styled.ts';

/** `--yes`, an option of every command that asks for confirmation. */
export interface ConfirmOptions {
  yes?: true;
}

export const yesFlag = '-y, --yes';
export const yesDescription = 'do not ask';

/** The user answered no or left the prompt: nothing was done, and no explanation is needed. */
export class DeclinedError extends Error {
  override readonly name = 'DeclinedError';
  /** 1 for the answer no, 130 for Ctrl-C, the code with which shells report SIGINT. */
  readonly exitCode: 1 | 130;

  constructor(exitCode: 1 | 130) {
    super('Nothing was done.');
    this.exitCode = exitCode;
  }
}

/**
 * Asks before an act that cannot be undone. Throws DeclinedError unless the answer is yes, and AppError ERR_USAGE if there is
 * no terminal.
 */
export async function confirm(question: string, { yes }: ConfirmOptions): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) {
    throw new AppError('ERR_USAGE', 'this command asks before it acts, and there is no terminal to ask on', {
      remedy: 'Add --yes.',
    });
  }
  const answer = await ask(forTerminal(`${question} [y/N] `));
  if (!/^(y|yes|s|si|sí)$/i.test(answer.trim())) throw new DeclinedError(1);
}

/** Throws DeclinedError if the user leaves the prompt with Ctrl-C; Ctrl-D is an empty answer. */
async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const left = Promise.withResolvers<string>();
  terminal.once('SIGINT', () => left.reject(new DeclinedError(130)));
  terminal.once('close', () => left.resolve(''));
  try {
    return await Promise.race([terminal.question(question), left.promise]);
  } catch (error) {
    process.stderr.write('\n');
    throw error;
  } finally {
    terminal.close();
  }
}
