import { Command } from 'commander';
import { startDaemon } from '../daemon.ts';
import { PreflightError } from '../daemon/judge.ts';
import { createLog } from '../lib/log.ts';
import { formatReport } from './check.ts';
import { configOf, configOption, type ConfigOptions } from './config-option.ts';
import { onInterrupt } from './interrupt.ts';
import { printError } from './output.ts';

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
      const log = createLog(config.log.level);
      using interrupt = onInterrupt();
      try {
        const daemon = await startDaemon(config, log);
        const signal = await interrupt.first;
        log.info({ signal }, 'stopping: what is under way is sent and recorded first');
        await daemon.stop();
        log.info({}, 'stopped');
        // A statement whose connection was cut leaves its timer behind in the driver: for up to a minute the process would not end.
        process.exit(0);
      } catch (error) {
        if (error instanceof PreflightError) printError(formatReport(error.report, { only: ['fail'] }));
        throw error;
      }
    });
}
