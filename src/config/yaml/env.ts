/** The environment as a parameter: functions that use it never read `process`. */
export type Environment = Readonly<Record<string, string | undefined>>;

export type Substitution = { text: string } | { problem: string };

const reference = /\$(\$?)\{([^}]*)\}?/g;

/**
 * Puts the values of environment variables in place of `${env:NAME}` in a text; `$${` stands for a plain `${`. Anything else in `${…}`, and an undefined
 * variable, is a problem: a typing mistake must not become a password. The problem names the variable if its name is in capitals, and never contains a
 * value.
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
    if (value === undefined)
      problem ??= `the environment variable ${isPlainName(name) ? name : 'that it names'} is not defined`;
    return value ?? whole;
  });
  return problem === undefined ? { text: substituted } : { problem };
}

/** Only names in capitals are quoted, so that a secret in the place of a variable's name is not shown. */
const isPlainName = (name: string): boolean => /^[A-Z_][A-Z0-9_]{0,63}$/.test(name);

/** A proxy variable of the environment, and the problem of its value. */
export interface ProxyProblem {
  variable: string;
  problem: string;
}

export interface FoundProxies {
  https: string | null;
  http: string | null;
  /** The entries of NO_PROXY, as written. */
  exempt: readonly string[];
  /** The variables that name the proxies. */
  variables: readonly string[];
  problems: readonly ProxyProblem[];
}

/** By the target's scheme; the first variable that is set is used, as in curl. */
const proxyVariables = {
  https: ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'],
  http: ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'],
} as const;

/** The proxies that the environment sets; null when it sets none. A value without a scheme is an http proxy, as for curl. */
export function findProxies(env: Environment): FoundProxies | null {
  const problems: ProxyProblem[] = [];
  const variables = new Set<string>();
  const find = (names: readonly string[]): string | null => {
    const variable = names.find((name) => (env[name] ?? '') !== '');
    if (variable === undefined) return null;
    if (!variables.has(variable)) {
      variables.add(variable);
      const problem = proxyProblem(env[variable]!);
      if (problem !== undefined) problems.push({ variable, problem });
    }
    return toProxyUrl(env[variable]!);
  };
  const [https, http] = [find(proxyVariables.https), find(proxyVariables.http)];
  if (variables.size === 0) return null;
  const exempt = (env['no_proxy'] ?? env['NO_PROXY'] ?? '').split(/[\s,]+/).filter((entry) => entry !== '');
  return { https, http, exempt, variables: [...variables], problems };
}

const toProxyUrl = (value: string): string =>
  /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;

/** The message does not contain the value, which may hold a password. */
function proxyProblem(value: string): string | undefined {
  const url = URL.parse(toProxyUrl(value));
  if (url === null || url.hostname === '') return 'is not a URL: write it as http://proxy.example.com:3128';
  if (!['http:', 'https:'].includes(url.protocol)) {
    return `has the scheme ${url.protocol.slice(0, -1)}: only http and https proxies can be used`;
  }
  return undefined;
}
