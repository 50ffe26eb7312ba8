import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import type { HttpConfig } from '../../config/types.ts';
import { probeListen } from '../../http/listen.ts';
import { AppError } from '../../lib/errors.ts';
import { hostPort } from '../../lib/host-port.ts';

/** The line of `check` about http.listen, and the error with which `run` would fail. */
export async function checkListening({
  host,
  port,
}: Pick<HttpConfig, 'host' | 'port'>): Promise<{ line: CheckResult; mistake: AppError | null }> {
  const line = { id: 'http-listen', title: 'HTTP address' };
  const found = await probeListen({ host, port });
  if (found instanceof AppError) {
    const { message: detail, remedy } = found;
    return { line: { ...line, level: 'fail', detail, remedy }, mistake: found };
  }
  const place = hostPort({ host, port });
  const detail = found === 'ours' ? `A running daemon answers on ${place}.` : `${place} can be listened on.`;
  return { line: { ...line, level: 'pass', detail, remedy: null }, mistake: null };
}
