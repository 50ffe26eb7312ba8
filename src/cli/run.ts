import { Command } from 'commander';
import { startDaemon, type Daemon } from '../daemon.ts';
import { PreflightError } from '../daemon/validate-webhook.ts';
import { createLog, openLogOutput } from '../lib/log.ts';
import { toStoreError } from '../db/connection/store-error.ts';
import { appErrorWithin, type AppError } from '../lib/errors.ts';
import { refusalWithin } from '../lib/server-error.ts';
import { MistakesError, type CheckedDraft } from '../daemon/validate-start.ts';
import { checkDraft } from './check/check-draft.ts';
import { formatReport } from './check/report.ts';
import { configOption, draftOf, type ConfigOptions } from './argument/config-option.ts';
import { exitCodeOf, onInterrupt } from './process/interrupt.ts';
import { watchParent } from './process/watch-parent.ts';
import { formatError, printError } from './terminal/output.ts';

/** `odontology-webhooks run` */
export function runCommand(): Command {
  return new Command('run')
    .description('capture, deliver and listen until SIGTERM')
    .addOption(configOption())
    .addHelpText(
      'after',
      '\nExample:\n  $ SOURCE_DATABASE_URL=mysql://webhooks:…@db/ontology_db odontology-webhooks run',
    )
    .action(async (options: ConfigOptions) => {
      const draft = draftOf(options);
      if (draft.problems.length > 0) throw reported(await mistakesOf(draft));
      const { config } = draft;
      using stack = new DisposableStack();
      const interrupt = stack.use(onInterrupt());
      const output = await openLogOutput({ onClosed: () => interrupt.end('SIGPIPE') });
      const log = createLog(config.log.level, output);
      stack.use(watchParent(() => interrupt.end('SIGTERM')));
      let daemon: Daemon | undefined;
      stack.use(onReload(() => daemon?.reload()));
      try {
        daemon = await startDaemon(config, log).catch(async (error: unknown) => {
          throw await withOthers(error, draft);
        });
        const signal = await interrupt.first;
        log.info({ signal }, 'stopping: deliveries under way are finished and recorded first');
        await daemon.stop();
        log.info({}, 'stopped');
        // A statement whose connection was cut leaves a timer in the driver, which would keep the process alive for up to a minute.
        process.exit(signal === 'SIGPIPE' ? exitCodeOf(signal) : 0);
      } catch (error) {
        throw reported(error);
      }
    });
}

/** ER_BINLOG_STMT_MODE_AND_ROW_ENGINE: with binlog_format STATEMENT the server refuses all rows of the store. */
const isUnloggable = (error: unknown): boolean => refusalWithin(error)?.errno === 1665;

const isOfStore = ({ code }: AppError): boolean => code.startsWith('ERR_STORE_');

/** A failing store ends the start before other checks run: this adds the other mistakes to its error. */
async function withOthers(thrown: unknown, draft: CheckedDraft): Promise<unknown> {
  const error = isUnloggable(thrown) ? toStoreError(thrown, draft.config.store.url) : appErrorWithin(thrown);
  if (!error || !isOfStore(error)) return error ?? thrown;
  const { mistakes } = await checkDraft(draft);
  const others = mistakes.filter((mistake) => !isAboutStore(mistake));
  return others.length === 0 ? error : new MistakesError([error, ...others]);
}

/** Whether the error only repeats that the store fails. */
const isAboutStore = (error: AppError): boolean =>
  error instanceof PreflightError &&
  error.report.checks.every(({ level, id }) => level !== 'fail' || id.startsWith('store'));

async function mistakesOf(draft: CheckedDraft): Promise<AppError> {
  const [first, ...others] = (await checkDraft(draft)).mistakes;
  return new MistakesError([first!, ...others]);
}

/** Prints the parts of an error, and returns the one that remains to be thrown: a part whose exit code is that of the whole. */
function reported(error: unknown): unknown {
  const known = appErrorWithin(error);
  const mistakes: readonly unknown[] = known instanceof MistakesError ? known.mistakes : [known ?? error];
  for (const mistake of mistakes) {
    if (mistake instanceof PreflightError) printError(formatReport(mistake.report, { only: ['fail'] }));
  }
  const last = mistakes.find((each) => appErrorWithin(each)?.exitCode === 2) ?? mistakes[0];
  for (const mistake of mistakes.filter((each) => each !== last)) printError(`${formatError(mistake)}\n`);
  return last;
}

/** SIGHUP reloads the configuration. Before the daemon has started there is nothing to reload, and the signal does not end the process. */
function onReload(reload: () => void): Disposable {
  process.on('SIGHUP', reload);
  return { [Symbol.dispose]: () => process.off('SIGHUP', reload) };
}
