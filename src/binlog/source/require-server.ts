import { AppError } from '../../lib/errors.ts';
import { identityVariables, serverUuidOf, toVariables } from './source.ts';

/** Throws a retryable AppError where a connection leads to another server than the one that is meant (SourceIdentity). */
export async function requireServer(
  query: (sql: string) => Promise<Record<string, unknown>[]>,
  serverUuid: string,
): Promise<void> {
  if (serverUuidOf(toVariables(await query(identityVariables))) === serverUuid) return;
  throw new AppError('ERR_SOURCE_UNREACHABLE', 'The address of the source leads to another server now.', {
    retryable: true,
  });
}
