import { AppError } from '../../lib/errors.ts';
import { identityVariables, serverUuidOf, toVariables } from './source.ts';

/** Throws a retryable AppError if a connection leads to a server other than the expected one (SourceIdentity). */
export async function requireServer(
  query: (sql: string) => Promise<Record<string, unknown>[]>,
  serverUuid: string,
): Promise<void> {
  if (serverUuidOf(toVariables(await query(identityVariables))) === serverUuid) return;
  throw new AppError('ERR_SOURCE_UNREACHABLE', 'The address of the source leads to another server now.', {
    retryable: true,
  });
}
