import { execFile } from 'node:child_process';
import { access, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;

it('is published with all that it needs at run time', { timeout: 300_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
  try {
    // Packed from a copy: the build must not lie about in the checkout.
    const copy = join(folder, 'copy');
    await mkdir(copy);
    for (const name of [
      'src',
      'config',
      'drizzle',
      'package.json',
      'tsconfig.json',
      'tsconfig.build.json',
      'CHANGELOG.md',
      'README.md',
      'LICENSE',
    ])
      await cp(join(root, name), join(copy, name), { recursive: true });
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
    await run('npm', ['pack', '--pack-destination', folder], { cwd: copy });
    const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz'))!;
    // As installed: Node strips no types below node_modules.
    const installed = join(folder, 'node_modules', 'odontology-webhooks');
    await mkdir(installed, { recursive: true });
    await run('tar', ['-xzf', join(folder, tarball), '--strip-components=1', '-C', installed]);
    for (const file of [
      'config/default.yaml',
      'config/events.yaml',
      'config/clinic/ontology_db.sql',
      'config/schema/events.schema.json',
      'config/schema/odontology-webhooks.schema.json',
      'config/examples/clinica-aurora/events.yaml',
      'drizzle/meta/_journal.json',
      'dist/index.d.ts',
      'dist/binlog/second-reader/worker.js',
      'LICENSE',
      'README.md',
    ])
      await access(join(installed, file));
    await expect(access(join(installed, 'src', 'cli', 'main.ts'))).rejects.toThrow('ENOENT');
    expect((await readdir(join(installed, 'drizzle'))).sort()).toEqual(
      (await readdir(join(root, 'drizzle'))).sort(),
    );

    await symlink(join(root, 'node_modules'), join(installed, 'node_modules'));
    const bin = join(installed, 'src', 'cli', 'bin.js');
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    expect((await run(process.execPath, [bin, '--version'], { cwd: folder })).stdout.trim()).toBe(version);
    const { stdout } = await run(
      process.execPath,
      [bin, 'events', 'list', '--rules', join(installed, 'config/events.yaml')],
      { cwd: folder },
    );
    expect(stdout).toContain('appointment.confirmed');
  } finally {
    await rm(folder, { recursive: true });
  }
});
