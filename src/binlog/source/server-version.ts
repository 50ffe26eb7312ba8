import { AppError } from '../../lib/errors.ts';
import type { Flavour } from '../types.ts';

export interface ServerVersion {
  flavour: Flavour;
  /** As the server reports it: `10.11.18-MariaDB-0+deb12u1-log`. */
  text: string;
  major: number;
  minor: number;
  patch: number;
}

/** Reads VERSION(). Forks of MySQL (Percona, Aurora) count as MySQL. */
export function parseServerVersion(text: string): ServerVersion {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(text);
  if (!match) throw new AppError('ERR_INTERNAL', `"${text.slice(0, 100)}" is not a server version.`);
  return {
    flavour: /mariadb/i.test(text) ? 'mariadb' : 'mysql',
    text,
    major: Number(match[1]),
    minor: Number(match[2]),
    patch: Number(match[3]),
  };
}

/** Whether the server has this version or a later one, in its own flavour's numbering: `8.2.0`. */
export function isAtLeast(version: ServerVersion, wanted: string): boolean {
  const [major = 0, minor = 0, patch = 0] = wanted.split('.').map(Number);
  if (version.major !== major) return version.major > major;
  if (version.minor !== minor) return version.minor > minor;
  return version.patch >= patch;
}

/** `MySQL 9.7.4`. */
export function nameVersion({ flavour, major, minor, patch }: ServerVersion): string {
  return `${flavour === 'mysql' ? 'MySQL' : 'MariaDB'} ${major}.${minor}.${patch}`;
}
