import { Command, CommanderError } from 'commander';
import { createRequire } from 'node:module';
import { AppError } from '../lib/errors.ts';
import { accessCommand } from './access.ts';
import { auditCommand } from './audit.ts';
import { checkCommand } from './check.ts';
import { completionCommand } from './completion.ts';
import { deliveriesCommand } from './deliveries.ts';
import { demoCommand } from './demo.ts';
import { eraseCommand } from './erase.ts';
import { eventsCommand } from './events.ts';
import { migrateCommand } from './migrate.ts';
import { formatError, printError } from './output.ts';
import { pruneCommand } from './prune.ts';
import { receiveCommand } from './receive.ts';
import { replayCommand } from './replay.ts';
import { resumeCommand } from './resume.ts';
import { runCommand } from './run.ts';
import { statusCommand } from './status.ts';
import { webhooksCommand } from './webhooks.ts';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** Runs one command line; gives the exit code: 0 done, 1 the check or the operation failed, 2 bad usage or configuration. */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Command('odontology-webhooks')
    .description('Signed, retried, audited webhooks for OdontologyApp, read from the binlog of its database.')
    .version(version)
    .showSuggestionAfterError()
    .showHelpAfterError('Run it with --help.');
  const commands = [
    runCommand(),
    checkCommand(),
    migrateCommand(),
    statusCommand(),
    resumeCommand(),
    webhooksCommand(),
    eventsCommand(),
    deliveriesCommand(),
    replayCommand(),
    accessCommand(),
    eraseCommand(),
    pruneCommand(),
    auditCommand(),
    receiveCommand(),
    demoCommand(),
    completionCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  overrideExit(program);
  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    printError(formatError(error));
    return error instanceof AppError ? error.exitCode : 1;
  }
}

/** A command that exits by itself could not print its last lines. */
function overrideExit(command: Command): void {
  command.exitOverride();
  for (const each of command.commands) overrideExit(each);
}
