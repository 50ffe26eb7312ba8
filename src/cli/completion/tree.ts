import type { Command } from 'commander';

/** One command with the data that shells need to complete it. */
export interface Entry {
  /** The words before it: `[]` is the program, `['webhooks', 'create']` a command. */
  path: readonly string[];
  description: string;
  commands: readonly { name: string; description: string }[];
  options: readonly OptionEntry[];
  /** The permitted words of its argument, if it has choices. */
  words: readonly string[];
}

export interface OptionEntry {
  /** `--config`, and `-c` if it exists. */
  names: readonly string[];
  description: string;
  /** The value that follows the option. */
  value: 'none' | 'file' | 'text' | readonly string[];
}

/** Returns every command of a program, the program itself first. Shells complete exactly what the parser accepts. */
export function readTree(program: Command, path: readonly string[] = []): Entry[] {
  const help = program.createHelp();
  const commands = help.visibleCommands(program);
  const standard = findDefault(program);
  const entry: Entry = {
    path,
    description: program.description(),
    commands: commands.map((command) => ({ name: command.name(), description: command.description() })),
    // The options of the default command also work without its name.
    options: [...help.visibleOptions(program), ...(standard ? help.visibleOptions(standard) : [])]
      .filter(({ long }, index, all) => all.findIndex((other) => other.long === long) === index)
      .map(({ short, long, description, argChoices, flags }) => ({
        names: [long, short].filter((name) => name !== undefined),
        description,
        value: argChoices ?? (!flags.includes('<') ? 'none' : flags.includes('<file>') ? 'file' : 'text'),
      })),
    words: program.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  };
  const inner = commands
    .filter((command) => command.name() !== 'help')
    .flatMap((command) => readTree(command, [...path, command.name()]));
  return [entry, ...inner];
}

/** The command that runs if no other command is named. */
function findDefault(program: Command): Command | undefined {
  const { _defaultCommandName: name } = program as unknown as { _defaultCommandName?: string | null };
  return program.commands.find((command) => command.name() === name);
}

/** `/webhooks/create`: the key of a command in the scripts. */
export function placeOf(path: readonly string[]): string {
  return path.map((word) => `/${word}`).join('');
}

/** Quotes a text as one word, for bash, zsh and fish. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
