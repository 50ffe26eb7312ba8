/** The environment as it is handed in: never read from `process` by what uses it. */
export type Environment = Readonly<Record<string, string | undefined>>;

export type Substitution = { text: string } | { problem: string };

const reference = /\$(\$?)\{([^}]*)\}?/g;

/**
 * Puts the values of environment variables in place of `${env:NAME}` in a text; `$${` stands for a plain `${`. Anything else
 * in `${…}`, and a variable that is not defined, is a problem: a typing mistake must not become a password. The problem
 * names the variable and never a value.
 */
export function substituteEnvironment(text: string, env: Environment): Substitution {
  let problem: string | undefined;
  const substituted = text.replace(reference, (whole: string, escape: string, inside: string) => {
    if (escape !== '') return whole.slice(1);
    const name = whole.endsWith('}') ? /^env:([A-Za-z_][A-Za-z0-9_]*)$/.exec(inside)?.[1] : undefined;
    if (name === undefined) {
      problem ??= 'has a ${…} that is not ${env:NAME}; write $${ for a plain ${';
      return whole;
    }
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (value === undefined) problem ??= `the environment variable ${name} is not defined`;
    return value ?? whole;
  });
  return problem === undefined ? { text: substituted } : { problem };
}

const proxyVariables = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'];

/** The proxy that the environment asks for, if it does, and the variable that says so. */
export function findProxy(env: Environment): { variable: string; url: string } | undefined {
  for (const variable of proxyVariables) {
    const url = env[variable];
    if (url !== undefined && url !== '') return { variable, url };
  }
  return undefined;
}
