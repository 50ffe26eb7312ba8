import { checkTls } from '../../binlog/preflight/server-environment.ts';
import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import type { Config } from '../../config/types.ts';

/** The lines of `check` about data that others may read in the store or on the connection to it. Reads only the configuration. */
export function checkStorePrivacy({ source, store }: Pick<Config, 'source' | 'store'>): CheckResult[] {
  // For a store on the same server, the line about the source applies.
  if (store.url.host === source.url.host) return [checkEncryptionAtRest(store)];
  const tls = { id: 'store-tls', title: 'Encrypted connection to the store', remedy: null };
  return [{ ...tls, ...checkTls(store.url, 'store.url') }, checkEncryptionAtRest(store)];
}

function checkEncryptionAtRest({
  encryptionKeys,
  keyFile,
}: Pick<Config['store'], 'encryptionKeys' | 'keyFile'>): CheckResult {
  const line = { id: 'encryption-at-rest', title: 'Encryption at rest' };
  if (encryptionKeys.length > 0)
    return {
      ...line,
      level: 'pass',
      detail: `Payloads, secrets, headers and credentials are encrypted${keyFile === null ? '' : ', and erasures reach backups'}.`,
      remedy: null,
    };
  const clear =
    keyFile === null
      ? "Patients' payloads, secrets, headers and credentials in URLs are"
      : 'Secrets, headers and credentials in URLs are';
  return {
    ...line,
    level: 'warn',
    detail: `${clear} stored in the clear: read access to the store, or to a backup of it, shows them.`,
    remedy: [
      'Put a key of 32 bytes into the environment, not into the file:',
      'ODONTOLOGY_WEBHOOKS_KEY=$(openssl rand -base64 32)',
      'and name it: store.encryption_key: ${env:ODONTOLOGY_WEBHOOKS_KEY}',
    ].join('\n'),
  };
}
