import { userInfo } from 'node:os';
import type { Actor } from '../../audit/act/record-act.ts';

/** The actor of a command: every user who can read the configuration has all permissions. */
export function localActor(): Actor {
  return { name: userName(), role: 'local' };
}

/** Containers run under user ids without an entry in the password file; such a user is named by its number. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
