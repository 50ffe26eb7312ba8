import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError, codeOf, messageOf } from '../lib/errors.ts';
import { deriveKey, destroyKey, hasKey, type KeyTree } from './key-tree.ts';

interface Content {
  /** Identifies the file; it does not change when keys are destroyed. */
  id: string;
  tree: KeyTree;
}

const about =
  'Made by odontology-webhooks (store.key_file): without it no payload can be read. Keep a copy of it apart from backups of the ' +
  'database. Erasing a patient changes it: then make a new copy and destroy the old ones.';

/**
 * The file outside of the database whose keys wrap patients' keys. Through it an erasure (crypto-shredding) reaches copies of the database: reading a copy
 * requires this file, and the erasure removes one key from it.
 */
export class KeyFile {
  readonly path: string;
  #content: Content | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Throws AppError ERR_SECRET_KEY when the file is missing, ERR_CONFIG when it cannot be used; so do the other methods. */
  get id(): string {
    return this.#read().id;
  }

  /** The key of a slot (16 hex digits); undefined when destroyed. */
  keyOf(slot: string): Uint8Array | undefined {
    return deriveKey(this.#read().tree, slot);
  }

  has(slot: string): boolean {
    return hasKey(this.#read().tree, slot);
  }

  /** Reads which keys other processes destroyed. */
  reload(): void {
    this.#content = undefined;
    this.#read();
  }

  /** Creates the file if it does not exist. */
  async create(): Promise<void> {
    const root = new Map([['', randomBytes(32)]]);
    const text = format({ id: randomBytes(8).toString('hex'), tree: root });
    try {
      await writeNew(this.path, text);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return;
      throw unusable(this.path, 'cannot be made', error);
    }
    await syncFolder(this.path);
  }

  /**
   * Destroys keys: when this resolves, the disk has the file without them. The caller holds a lock, so only one process runs this at a time. A process
   * that was frozen and lost the lock writes nothing, because the next process removed its new file.
   */
  async destroy(slots: readonly string[]): Promise<void> {
    const next = `${this.path}.${randomBytes(6).toString('hex')}${unfinished}`;
    try {
      await removeUnfinished(this.path);
      const file = await open(next, 'wx', 0o600);
      try {
        this.reload();
        const { id, tree } = this.#read();
        await file.writeFile(format({ id, tree: slots.reduce(destroyKey, tree) }));
        await file.sync();
      } finally {
        await file.close();
      }
      await replace(this.path, next);
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw unusable(this.path, 'cannot be written', error);
    }
    this.reload();
  }

  #read(): Content {
    return (this.#content ??= read(this.path));
  }
}

const unfinished = '.unfinished';

function read(path: string): Content {
  const text = readText(path);
  // Only zeros: the file was replaced while we read it.
  return parse(text.startsWith('\0') ? readText(path) : text, path);
}

function readText(path: string): string {
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0) {
      throw new AppError('ERR_CONFIG', `others than its owner may read or write the key file ${path}`, {
        remedy: `chmod 600 ${path}`,
      });
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof AppError) throw error;
    if (codeOf(error) === 'ENOENT') throw missing(path, error);
    throw unusable(path, 'cannot be read', error);
  }
}

function format({ id, tree }: Content): string {
  const nodes = Object.fromEntries(
    [...tree].map(([way, secret]) => [way, Buffer.from(secret).toString('base64')]),
  );
  return `${JSON.stringify({ about, id, nodes }, null, 1)}\n`;
}

function parse(text: string, path: string): Content {
  try {
    const { id, nodes } = JSON.parse(text) as { id: string; nodes: Record<string, string> };
    const tree = new Map(Object.entries(nodes).map(([way, secret]) => [way, Buffer.from(secret, 'base64')]));
    const isWhole =
      /^[0-9a-f]{16}$/.test(id) &&
      [...tree].every(([way, secret]) => /^[01]{0,64}$/.test(way) && secret.length === 32);
    if (isWhole) return { id, tree };
  } catch {
    // Reported below, without the file's contents.
  }
  throw new AppError('ERR_CONFIG', `${path} is no key file, or it is damaged`, {
    remedy:
      'Put the latest copy of the key file there, or let store.key_file name a file that is not there yet.',
  });
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Overwrites the old contents, as far as the disk allows it, after the new file is durable. */
async function replace(path: string, next: string): Promise<void> {
  const old = await open(path, 'r+');
  try {
    const { size } = await old.stat();
    await rename(next, path);
    await syncFolder(path);
    await old.write(Buffer.alloc(size), 0, size, 0);
    await old.sync();
  } finally {
    await old.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A temporary file of a process that was killed while writing: it contains keys that the file will lose. */
async function removeUnfinished(path: string): Promise<void> {
  for (const name of await readdir(dirname(path))) {
    const isOurs = name.startsWith(`${basename(path)}.`) && name.endsWith(unfinished);
    if (isOurs) await unlink(join(dirname(path), name));
  }
}

function missing(path: string, cause: unknown): AppError {
  return new AppError('ERR_SECRET_KEY', `the key file ${path} is not there`, {
    remedy:
      'Put the latest copy of it there. Every daemon on this store needs the same file, in a folder that they share; `run` makes it ' +
      'at the first start.',
    cause,
  });
}

function unusable(path: string, what: string, cause: unknown): AppError {
  return new AppError('ERR_CONFIG', `the key file ${path} ${what} (${messageOf(cause)})`, {
    remedy:
      'Give the user who runs odontology-webhooks a folder to write it in: it is replaced at each erasure.',
    cause,
  });
}
