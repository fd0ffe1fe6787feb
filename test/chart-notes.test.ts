/** What Helm prints after an installation or an upgrade: its commands are run as somebody copies them. */
import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { apiVersion, profileLabel } from '../api/v1alpha1/labels.ts';
import { notes, withHelm } from './tools/chart.ts';

/** The indented paragraphs that are no prose, with their indentation. */
function commandsIn(text: string): string {
  return text
    .split('\n\n')
    .filter((paragraph) => /^ {3}(kubectl|echo|helm) /.test(paragraph))
    .join('\n\n');
}

/** How a shell calls kubectl when it is given this, and what it is fed where it reads from its input. */
function kubectlCalls(script: string): { args: string; input: string }[] {
  const folder = mkdtempSync(join(tmpdir(), 'localdns-kubectl-'));
  try {
    const calls = join(folder, 'calls');
    writeFileSync(calls, '');
    writeFileSync(
      join(folder, 'kubectl'),
      `#!/bin/sh\n{ echo "$*"; case "$*" in *'-f -'*) cat;; esac; printf '\\036'; } >>'${calls}'\n`,
    );
    chmodSync(join(folder, 'kubectl'), 0o755);
    const env = { PATH: `${folder}:${process.env.PATH}` };
    const { status, stderr } = spawnSync('sh', ['-eu'], { input: script, encoding: 'utf8', env });
    deepEqual([status, stderr], [0, '']);
    const said = readFileSync(calls, 'utf8').split('\x1e').slice(0, -1);
    return said.map((call) => ({ args: call.split('\n')[0] ?? '', input: call.slice(call.indexOf('\n') + 1) }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the commands that are printed after an installation do what it says, pasted as they stand', withHelm, () => {
  const [made, ...rest] = kubectlCalls(commandsIn(notes()));
  // Not `apply`: whoever installs again may have a profile of this name, which says something.
  equal(made?.args, 'create -f -');
  deepEqual(JSON.parse(made?.input ?? ''), {
    ...{ apiVersion, kind: 'LocalDnsProfile', metadata: { name: 'default' }, spec: {} },
  });
  deepEqual(
    rest.map(({ args }) => args),
    [`label node NODE ${profileLabel}=default`, 'get ldp,ldn'],
  );
  const withoutWithdrawal = commandsIn(notes('--set=uninstall.withdraw=false'));
  deepEqual(
    kubectlCalls(withoutWithdrawal).map(({ args }) => args),
    ['create -f -', ...rest.map(({ args }) => args), 'delete ldp --all --timeout=5m', 'get ldn'],
  );
});

test('the notes after an installation speak of the profile that it has made, or say how to make one', withHelm, () => {
  const plain = notes();
  match(plain, /^LocalDNS \S+ is installed in localdns-system\. No node is served yet/);
  match(plain, /kubectl create -f -.*kubectl label node NODE localdns\.dev\/profile=default\n\n3\. /s);
  const made = notes('--set=defaultProfile.enabled=true,defaultProfile.name=all');
  match(made, /^LocalDNS \S+ is installed in localdns-system\.\n\n1\. The profile all is there/);
  match(made, /kubectl label node NODE localdns\.dev\/profile=all\n\n3\. /);
  doesNotMatch(made, /kubectl create|No node is served/);
});

test('the notes after an upgrade do not tell people who are served that nobody is', withHelm, () => {
  const plain = notes('--is-upgrade');
  match(plain, /^LocalDNS \S+ is installed in localdns-system\.\n\nWhat became of profiles and nodes:\n/);
  doesNotMatch(plain, /No node is served|kubectl create|kubectl label/);
  match(notes('--is-upgrade', '--set=defaultProfile.enabled=true'), /\n\n1\. The profile default is there.*\n\n3\. /s);
});
