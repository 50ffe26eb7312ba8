import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { CertificateFiles } from '../../config/types.ts';
import { monotonicMs } from '../../lib/clock.ts';
import { AppError, messageOf } from '../../lib/errors.ts';
import { didYouMean } from '../../lib/suggest.ts';

export type NamedCertificates = Readonly<Record<string, CertificateFiles>>;

/** A certificate and its key, PEM. A new object after the files were renewed. */
export interface ClientCertificate {
  cert: string;
  key: string;
}

interface Known {
  pair: ClientCertificate;
  stamp: string;
  lookedMs: number;
}

/** Minimum time between two checks of the files. */
const lookEveryMs = 1_000;

/** The problem of the name in a webhook's `client_certificate`. */
export function checkClientCertificate(name: string | null, named: NamedCertificates): string[] {
  if (name === null || Object.hasOwn(named, name)) return [];
  return [
    `delivery.client_certificates has no certificate of the name in client_certificate${didYouMean(name, Object.keys(named))}`,
  ];
}

/**
 * Reads the pair. Throws AppError ERR_CONFIG when a file cannot be read, or the key does not belong to the certificate.
 * @internal
 */
export function readClientCertificate(name: string, files: CertificateFiles): ClientCertificate {
  const found = findPair(files);
  if (typeof found === 'string') throw unusable(name, found);
  return found;
}

/** Why the pair cannot be used, with the remedy; undefined when it can. */
export function checkCertificateFiles(files: CertificateFiles): string | undefined {
  const found = findPair(files);
  return typeof found === 'string' ? `cannot be used: ${found}; ${formOfPair}` : undefined;
}

/** The pair, or why it is missing. */
function findPair({ certFile, keyFile }: CertificateFiles): ClientCertificate | string {
  try {
    const [cert, key] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')];
    if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return { cert, key };
  } catch (error) {
    return messageOf(error);
  }
  return 'the key is not that of the certificate';
}

const formOfPair =
  'cert_file and key_file must name a certificate and its private key, in PEM form and without a password';

function unusable(name: string, why: string): AppError {
  return new AppError('ERR_CONFIG', `delivery.client_certificates.${name} cannot be used: ${why}`, {
    remedy: `${formOfPair}.`,
  });
}

/** Caches the pairs. While renewed files do not match each other, the former pair is used. */
export class ClientCertificates {
  readonly #named: NamedCertificates;
  readonly #known = new Map<string, Known>();

  constructor(named: NamedCertificates) {
    this.#named = named;
  }

  /** Throws AppError ERR_CONFIG for a pair that could not be read yet. */
  get(name: string): ClientCertificate {
    const files = this.#named[name];
    if (files === undefined) throw unusable(name, 'there is no such entry');
    const known = this.#known.get(name);
    const nowMs = monotonicMs();
    if (known && nowMs - known.lookedMs < lookEveryMs) return known.pair;
    const stamp = stampOf(files);
    if (known) known.lookedMs = nowMs;
    if (known?.stamp === stamp) return known.pair;
    try {
      const pair = readClientCertificate(name, files);
      this.#known.set(name, { pair, stamp, lookedMs: nowMs });
      return pair;
    } catch (error) {
      if (known) return known.pair;
      throw error;
    }
  }
}

/** Changes when the files change. */
function stampOf({ certFile, keyFile }: CertificateFiles): string {
  return [certFile, keyFile]
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found ? `${found.ino}:${found.mtimeMs}:${found.size}` : 'missing';
    })
    .join(' ');
}
