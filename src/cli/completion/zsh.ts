import { placeOf, quote, type Entry } from './tree.ts';

/** The function that zsh calls: like the bash function, with a description beside each word. */
export function writeZsh(entries: readonly Entry[]): string {
  const commands = entries.filter(({ path }) => path.length > 0).map(({ path }) => quote(placeOf(path)));
  return `#compdef odontology-webhooks
_odontology_webhooks() {
  local place='' word before=\${words[CURRENT-1]}
  local -a offered
  for word in \${words[2,CURRENT-1]}; do
    case "$place/$word" in
      ${commands.join(' | ')}) place="$place/$word" ;;
    esac
  done
  case "$place $before" in
${entries.flatMap(valueCases).join('\n')}
  esac
  case "$place" in
${entries.map(offerCase).join('\n')}
  esac
  _describe 'odontology-webhooks' offered
}
compdef _odontology_webhooks odontology-webhooks`;
}

function valueCases({ path, options }: Entry): string[] {
  return options
    .filter(({ value }) => value !== 'none')
    .map(({ names, value, description }) => {
      const patterns = names.map((name) => quote(`${placeOf(path)} ${name}`)).join(' | ');
      const complete = {
        file: () => '_files',
        text: () => `_message ${quote(description)}`,
        words: () => `compadd -- ${(value as readonly string[]).map(quote).join(' ')}`,
      }[Array.isArray(value) ? 'words' : (value as 'file' | 'text')];
      return `    ${patterns}) ${complete()}; return ;;`;
    });
}

function offerCase({ path, commands, options, words }: Entry): string {
  const offered = [
    ...commands.map(({ name, description }) => `${name}:${description}`),
    ...words,
    ...options.flatMap(({ names, description }) => names.map((name) => `${name}:${description}`)),
  ];
  return `    ${quote(placeOf(path))}) offered=(${offered.map(quote).join(' ')}) ;;`;
}
