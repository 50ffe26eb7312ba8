import { Command } from 'commander';
import { startDaemon, type Daemon } from '../daemon.ts';
import { PreflightError } from '../daemon/judge.ts';
import { createLog, openLogOutput } from '../lib/log.ts';
import { formatReport } from './check/report.ts';
import { configOf, configOption, type ConfigOptions } from './argument/config-option.ts';
import { exitCodeOf, onInterrupt } from './process/interrupt.ts';
import { watchParent } from './process/watch-parent.ts';
import { printError } from './terminal/output.ts';

/** `odontology-webhooks run` */
export function runCommand(): Command {
  return new Command('run')
    .description('capture, deliver and listen until SIGTERM')
    .addOption(configOption())
    .addHelpText(
      'after',
      '\nExample:\n  $ SOURCE_DATABASE_URL=mysql://webhooks:…@db/ontology_db npx odontology-webhooks run',
    )
    .action(async (options: ConfigOptions) => {
      const config = configOf(options);
      using stack = new DisposableStack();
      const interrupt = stack.use(onInterrupt());
      const output = await openLogOutput({ onClosed: () => interrupt.end('SIGPIPE') });
      const log = createLog(config.log.level, output);
      stack.use(watchParent(() => interrupt.end('SIGTERM')));
      let daemon: Daemon | undefined;
      stack.use(onReload(() => daemon?.reload()));
      try {
        daemon = await startDaemon(config, log);
        const signal = await interrupt.first;
        log.info({ signal }, 'stopping: deliveries under way are finished and recorded first');
        await daemon.stop();
        log.info({}, 'stopped');
        // A statement whose connection was cut leaves its timer behind in the driver: for up to a minute the process would not end.
        process.exit(signal === 'SIGPIPE' ? exitCodeOf(signal) : 0);
      } catch (error) {
        if (error instanceof PreflightError) printError(formatReport(error.report, { only: ['fail'] }));
        throw error;
      }
    });
}

/** SIGHUP reads the configuration again. Before the daemon has started there is nothing to reload, and the signal ends nothing. */
function onReload(reload: () => void): Disposable {
  process.on('SIGHUP', reload);
  return { [Symbol.dispose]: () => process.off('SIGHUP', reload) };
}
