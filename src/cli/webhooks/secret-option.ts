import type { Command } from 'commander';
import { parseWebhookInput } from '../../config/setting/webhook-input.ts';
import { AppError } from '../../lib/errors.ts';
import { readTextFile } from '../terminal/text-file.ts';

export interface SecretOptions {
  secretFile?: string;
  secretEnv?: string;
}

/** Options for a user-supplied secret. It is never an argument: arguments are in the shell's history and in the process list. */
export function addSecretOptions(command: Command): Command {
  return command
    .option(
      '--secret-file <file>',
      'a secret of your own, from a file: whsec_ and base64 of 24 bytes or more',
    )
    .option('--secret-env <name>', 'the same, from a variable of the environment');
}

/** The given secret, if any. Throws AppError ERR_USAGE, without quoting the secret, if it cannot be read or is not valid. */
export function secretOf({ secretFile, secretEnv }: SecretOptions): { secret?: string } {
  if (secretFile !== undefined && secretEnv !== undefined) {
    throw new AppError('ERR_USAGE', 'one secret is enough: --secret-file or --secret-env');
  }
  if (secretFile === undefined && secretEnv === undefined) return {};
  const given = secretFile === undefined ? process.env[secretEnv!] : readTextFile(secretFile);
  if (given === undefined) {
    throw new AppError('ERR_USAGE', `there is no variable ${secretEnv!} in the environment`, {
      remedy: `export ${secretEnv!}=whsec_$(openssl rand -hex 32)`,
    });
  }
  const { secret } = parseWebhookInput({ secret: given.trim() }, ['secret']);
  return { secret: secret! };
}
