import { Command, CommanderError } from 'commander';
import { createRequire } from 'node:module';
import { appErrorWithin } from '../lib/errors.ts';
import { requirePeriod } from '../config/setting/query-value.ts';
import { DeclinedError } from './terminal/confirm.ts';
import { formatError, printError } from './terminal/output.ts';
import { forTerminal } from './terminal/styled.ts';
import { tableColumns } from './terminal/terminal.ts';
import { wrapProse } from './terminal/wrap.ts';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** Each command is loaded on demand: loading all of them takes a second, and nearly all of that would be wasted. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./run.ts')).runCommand(),
  check: async () => (await import('./check/check.ts')).checkCommand(),
  migrate: async () => (await import('./migrate.ts')).migrateCommand(),
  status: async () => (await import('./status.ts')).statusCommand(),
  resume: async () => (await import('./resume.ts')).resumeCommand(),
  webhooks: async () => (await import('./webhooks/webhooks.ts')).webhooksCommand(),
  events: async () => (await import('./events/events.ts')).eventsCommand(),
  deliveries: async () => (await import('./deliveries/deliveries.ts')).deliveriesCommand(),
  replay: async () => (await import('./replay/replay.ts')).replayCommand(),
  access: async () => (await import('./access.ts')).accessCommand(),
  erase: async () => (await import('./erase.ts')).eraseCommand(),
  prune: async () => (await import('./prune.ts')).pruneCommand(),
  audit: async () => (await import('./audit/audit.ts')).auditCommand(),
  receive: async () => (await import('./receive.ts')).receiveCommand(),
  demo: async () => (await import('./demo/demo.ts')).demoCommand(),
  completion: async () => (await import('./completion/completion.ts')).completionCommand(),
};

/** Loads the named command; all commands if the name is missing or unknown, for the help and for suggestions. */
function loadCommands(args: readonly string[]): Promise<Command[]> {
  if (args[0] === '--version' || args[0] === '-V') return Promise.resolve([]);
  const meant = args[0] ?? '';
  // Completion needs all commands.
  const isAlone = Object.hasOwn(commands, meant) && meant !== 'completion';
  const names = isAlone ? [meant] : Object.keys(commands);
  return Promise.all(names.map((name) => commands[name]!()));
}

/** Runs one command line and returns the exit code: 0 success, 1 the check or the operation failed, 2 wrong usage or configuration. */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Command('odontology-webhooks')
    .description('Signed, retried, audited webhooks for OdontologyApp, read from the binlog of its database.')
    .version(version)
    .showSuggestionAfterError()
    .showHelpAfterError('Run it with --help.');
  for (const command of await loadCommands(args)) program.addCommand(command);
  program.hook('preAction', (_program, command) => requirePeriod(command.opts(), '--'));
  overrideOutput(program);
  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof DeclinedError) {
      printError(error.message);
      return error.exitCode;
    }
    printError(formatError(error));
    return appErrorWithin(error)?.exitCode ?? 1;
  }
}

/**
 * Prevents commander from exiting the process, which would lose the last lines of output. Wraps its texts, and escapes what they quote
 * from the command line.
 */
function overrideOutput(command: Command): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => process.stdout.write(forTerminal(wrapProse(text, tableColumns()))),
    writeErr: (text) => process.stderr.write(forTerminal(wrapProse(text, tableColumns()))),
  });
  for (const each of command.commands) overrideOutput(each);
}
