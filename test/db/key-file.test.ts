import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyFile } from '../../src/crypto/key-file.ts';

const slot = (): string => randomBytes(8).toString('hex');

describe('a key file', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    path = join(folder, 'patients.key');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is made once, for its owner alone', async () => {
    const file = new KeyFile(path);
    await file.create();
    const made = await readFile(path, 'utf8');
    expect(((await stat(path)).mode & 0o777).toString(8)).toBe('600');
    await new KeyFile(path).create();
    expect(await readFile(path, 'utf8')).toBe(made);
  });

  it('loses keys for good, keeps the others, and leaves no other file', async () => {
    const file = new KeyFile(path);
    await file.create();
    const [hers, his] = [slot(), slot()];
    const before = [file.id, file.keyOf(his)];
    const other = new KeyFile(path);
    expect(other.keyOf(hers)).toEqual(file.keyOf(hers));
    await writeFile(`${path}.0123.unfinished`, await readFile(path));

    await file.destroy([hers]);
    other.reload();
    for (const each of [file, other, new KeyFile(path)]) {
      expect(each.keyOf(hers)).toBeUndefined();
      expect([each.id, each.keyOf(his)]).toEqual(before);
    }
    expect(await readdir(folder)).toEqual(['patients.key']);
    expect(((await stat(path)).mode & 0o777).toString(8)).toBe('600');
  });

  it('is refused with the remedy when it is missing, damaged, or others may read it', async () => {
    expect(() => new KeyFile(path).id).toThrow(
      expect.objectContaining({ code: 'ERR_SECRET_KEY', message: expect.stringContaining(path) as string }),
    );
    const file = new KeyFile(path);
    await file.create();
    await chmod(path, 0o640);
    expect(() => new KeyFile(path).id).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG', remedy: `chmod 600 ${path}` }),
    );
    await chmod(path, 0o600);
    await copyFile(path, `${path}.copy`);
    const text = await readFile(path, 'utf8');
    for (const damaged of ['', '{}', text.slice(0, -9), '\0'.repeat(text.length)]) {
      await writeFile(path, damaged);
      expect(() => new KeyFile(path).id).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }));
      await expect(file.destroy([slot()])).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    }
    const secret = /[A-Za-z0-9+/]{43}=/.exec(text)![0];
    expect(() => new KeyFile(path).id).not.toThrow(secret);
    await copyFile(`${path}.copy`, path);
    expect(new KeyFile(path).id).toBe(file.id);
  });
});
