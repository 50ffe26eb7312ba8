import { userInfo } from 'node:os';
import type { Actor } from '../audit/record-act.ts';

/** Who acts at the command line: whoever has the configuration may do everything. */
export function localActor(): Actor {
  return { name: userInfo().username, role: 'local' };
}
