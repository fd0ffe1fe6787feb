import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { removeGroup } from './control-groups.ts';
import { eventually } from './eventually.ts';
import { type Lack, lacking } from './find.ts';
import { identify, isAlive } from './process-identity.ts';
import { RunFolder, sweepRunFolders } from './run-folder.ts';

// Apart from the run folders of the tests that run beside us: a sweep that is broken must not end those.
const below = mkdtempSync(join(tmpdir(), 'localdns-sweep-'));
process.env.TMPDIR = below;
after(() => rmSync(below, { recursive: true }));

/** Stands for a test file: makes a run folder with a sleeping process in it, says so, and waits to be killed. */
const owner = `
  import { spawn } from 'node:child_process';
  import { mkdirSync } from 'node:fs';
  import { hierarchies } from ${JSON.stringify(join(import.meta.dirname, 'control-groups.ts'))};
  import { RunFolder } from ${JSON.stringify(join(import.meta.dirname, 'run-folder.ts'))};
  const folder = new RunFolder('swept');
  const sleeper = spawn('sleep', ['300'], { stdio: 'ignore' });
  folder.recordProcess(sleeper.pid);
  const namespace = process.argv[1] === 'namespace' ? folder.addNamespace('swept') : undefined;
  const group = process.argv[1] === 'group' ? folder.addGroups('ldns-' + process.pid + '-swept', hierarchies())[0] : undefined;
  if (group) mkdirSync(group + '/inner');
  const inside = namespace && spawn('ip', ['netns', 'exec', namespace, 'sleep', '300'], { stdio: 'ignore' });
  const grouped = group && spawn('sh', ['-c', 'echo $$ > ' + group + '/inner/cgroup.procs; exec sleep 300'], { stdio: 'ignore' });
  console.log(JSON.stringify({ path: folder.path, pid: sleeper.pid, namespace, group, grouped: grouped?.pid, inside: inside?.pid }));
`;

interface Made {
  path: string;
  pid: number;
  namespace?: string;
  inside?: number;
  group?: string;
  grouped?: number;
}

async function startOwner(kind: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', owner, kind], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  return { child, made: JSON.parse(line) as Made };
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

test('a namespace of a killed test process goes, with whatever runs in it', { skip: reason(lacks) }, async () => {
  const { child, made } = await startOwner('namespace');
  await kill(child);
  await sweepRunFolders();
  assert.equal(made.inside === undefined ? undefined : identify(made.inside), undefined);
  assert.doesNotMatch(spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout, new RegExp(`${made.namespace}`));
});

const withoutGroups = lacking(['root', 'control groups']);

test('control groups of a killed test process go, with whoever is in them', {
  skip: reason(withoutGroups),
}, async (t) => {
  const { child, made } = await startOwner('group');
  const groups = () => globSync(`/sys/fs/cgroup/*/**/ldns-${child.pid}-swept`);
  await eventually('somebody is in it', 5_000, () =>
    readFileSync(join(made.group ?? '', 'inner/cgroup.procs'), 'utf8').includes(String(made.grouped)),
  );
  // Also where the sweep is broken.
  t.after(() => Promise.all(groups().map((group) => removeGroup(group))));
  await kill(child);
  await sweepRunFolders();
  assert.equal(identify(made.grouped ?? 0), undefined);
  assert.deepEqual(groups(), []);
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

function reason(lacks: readonly Lack[]): string | false {
  return lacks.length > 0 && lacks.map(({ message }) => message).join('; ');
}
