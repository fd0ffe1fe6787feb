import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lacking } from './find.ts';
import { identify, isAlive } from './process-identity.ts';
import { RunFolder, sweepRunFolders } from './run-folder.ts';

// Apart from the run folders of the tests that run beside us: a sweep that is broken must not end those.
const below = mkdtempSync(join(tmpdir(), 'localdns-sweep-'));
process.env.TMPDIR = below;
after(() => rmSync(below, { recursive: true }));

/** Stands for a test file: makes a run folder with a sleeping process in it, says so, and waits to be killed. */
const owner = `
  import { spawn } from 'node:child_process';
  import { RunFolder } from ${JSON.stringify(join(import.meta.dirname, 'run-folder.ts'))};
  const folder = new RunFolder('swept');
  const sleeper = spawn('sleep', ['300'], { stdio: 'ignore' });
  folder.recordProcess(sleeper.pid);
  const namespace = process.argv[1] === 'namespace' ? folder.addNamespace('swept') : undefined;
  const inside = namespace && spawn('ip', ['netns', 'exec', namespace, 'sleep', '300'], { stdio: 'ignore' });
  console.log(JSON.stringify({ path: folder.path, pid: sleeper.pid, namespace, inside: inside?.pid }));
`;

async function startOwner(kind: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', owner, kind], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  return { child, made: JSON.parse(line) as { path: string; pid: number; namespace?: string; inside?: number } };
}

async function kill(child: ReturnType<typeof spawn>): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('what a killed test process had started is ended by the next sweep, and not while it lives', async () => {
  const { child, made } = await startOwner('plain');
  await sweepRunFolders();
  assert.ok(identify(made.pid), 'a sweep must leave the process of a living test alone');
  await kill(child);
  await sweepRunFolders();
  assert.equal(identify(made.pid), undefined);
  assert.equal(existsSync(made.path), false);
});

const lacks = lacking(['root', 'namespaces', 'ip']);

test('a namespace of a killed test process goes, with whatever runs in it', { skip: reason() }, async () => {
  const { child, made } = await startOwner('namespace');
  await kill(child);
  await sweepRunFolders();
  assert.equal(made.inside === undefined ? undefined : identify(made.inside), undefined);
  assert.doesNotMatch(spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout, new RegExp(`${made.namespace}`));
});

test('a process id that was handed out again is not taken for the noted process', async () => {
  const self = identify(process.pid);
  assert.ok(self);
  assert.equal(isAlive(self), true);
  assert.equal(isAlive({ pid: self.pid, startedAt: '1' }), false);
});

test('removing a run folder ends what it holds', async () => {
  const folder = new RunFolder('removed');
  const sleeper = spawn('sleep', ['300'], { stdio: 'ignore' });
  assert.ok(sleeper.pid);
  folder.recordProcess(sleeper.pid);
  await folder.remove();
  assert.equal(identify(sleeper.pid), undefined);
  assert.equal(existsSync(folder.path), false);
});

function reason(): string | false {
  return lacks.length > 0 && lacks.map(({ message }) => message).join('; ');
}
