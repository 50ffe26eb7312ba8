import { userInfo } from 'node:os';
import type { Actor } from '../../audit/act/record-act.ts';

/** Who acts at the command line: everyone who can read the configuration may do everything. */
export function localActor(): Actor {
  return { name: userName(), role: 'local' };
}

/** Containers run under user ids that have no entry in the password file: such a user is named by its number. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
