import { Command } from 'commander';
import { auditBeginAnewCommand } from './begin-anew.ts';
import { auditHeadCommand } from './head.ts';
import { auditLogCommand } from './log.ts';
import { auditVerifyCommand } from './verify.ts';

/** `odontology-webhooks audit` */
export function auditCommand(): Command {
  return new Command('audit')
    .description('prove the log untouched; who did what')
    .addCommand(auditVerifyCommand())
    .addCommand(auditHeadCommand())
    .addCommand(auditLogCommand())
    .addCommand(auditBeginAnewCommand());
}
