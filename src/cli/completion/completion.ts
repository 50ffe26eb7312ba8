import { Argument, Command } from 'commander';
import { writeBash } from './bash.ts';
import { writeFish } from './fish.ts';
import { readTree, type Entry } from './tree.ts';
import { writeZsh } from './zsh.ts';
import { printExact } from '../terminal/output.ts';

const writers: Readonly<Record<string, (entries: readonly Entry[]) => string>> = {
  bash: writeBash,
  zsh: writeZsh,
  fish: writeFish,
};

/** `odontology-webhooks completion` */
export function completionCommand(): Command {
  return new Command('completion')
    .description('what makes a shell complete commands and options')
    .addArgument(new Argument('<shell>', 'which one').choices(Object.keys(writers)))
    .addHelpText(
      'after',
      `
Put one line into the file that your shell reads at its start:
  ~/.bashrc                   eval "$(odontology-webhooks completion bash)"
  ~/.zshrc, after compinit    eval "$(odontology-webhooks completion zsh)"
  ~/.config/fish/config.fish  odontology-webhooks completion fish | source

It completes \`odontology-webhooks\` where that is installed, not \`npm run\` in a checkout.`,
    )
    .action((shell: string, _options: object, command: Command) => {
      printExact(writers[shell]!(readTree(command.parent!)));
    });
}
