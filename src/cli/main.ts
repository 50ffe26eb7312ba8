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

/** Each is loaded when it is asked for: together they take a second to load, nearly all of it in vain. */
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

/** The command that is meant; all of them where that is not clear, for the help and for the nearest right word. */
function loadCommands(args: readonly string[]): Promise<Command[]> {
  if (args[0] === '--version' || args[0] === '-V') return Promise.resolve([]);
  const meant = args[0] ?? '';
  // What completes must know of all of them.
  const isAlone = Object.hasOwn(commands, meant) && meant !== 'completion';
  const names = isAlone ? [meant] : Object.keys(commands);
  return Promise.all(names.map((name) => commands[name]!()));
}

/** Runs one command line; returns the exit code: 0 done, 1 the check or the operation failed, 2 bad usage or configuration. */
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
 * A command that exits by itself could not print its last lines. Its texts are wrapped; what it quotes of the command line is escaped like
 * all that is printed.
 */
function overrideOutput(command: Command): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => process.stdout.write(forTerminal(wrapProse(text, tableColumns()))),
    writeErr: (text) => process.stderr.write(forTerminal(wrapProse(text, tableColumns()))),
  });
  for (const each of command.commands) overrideOutput(each);
}
