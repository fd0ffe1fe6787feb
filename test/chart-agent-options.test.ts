/** What of agent.extraArgs and extraEnv the schema of the values lets pass: what the agent takes, and nothing that the chart says itself. */
import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { parseAgentOptions } from '../agent/options.ts';
import { chart, helm, only, podOf, withHelm } from './tools/chart.ts';

function isTaken(values: object): boolean {
  const { status, stderr } = helm('template', 'localdns', chart, `--set-json=agent=${JSON.stringify(values)}`);
  if (status !== 0) match(stderr, /don't meet the specifications of the schema/);
  return status === 0;
}

function agentTakes(option: string): boolean {
  try {
    parseAgentOptions([option], { NODE_NAME: 'n' });
    return true;
  } catch {
    return false;
  }
}

const written: Record<string, string[]> = {
  '--log-level': ['info', 'warn', 'error', 'debug', 'Info', ''],
  '--nft-table': ['dns', 'a.b_c-1', '1a', 'a b', 'a'.repeat(64), 'a'.repeat(65), ''],
  '--mark-own': [
    '0x100',
    '0X80000000',
    '0x00000001',
    '256',
    '2147483648',
    '0',
    '3',
    '0x3',
    '0x0',
    '0x100000000',
    '4294967296',
    '1.0',
  ],
  '--mark-gate': ['0x8', '0xc'],
  '--mark-intercept': ['1024', '1023'],
  '--route-table': [
    '1',
    '251',
    '252',
    '255',
    '256',
    '0xfb',
    '0xfc',
    '0xFF',
    '0x1fc',
    '0xffffffff',
    '0',
    '0x0',
    '99999999999',
    'main',
    '-1',
  ],
  '--rule-priority': ['1', '32765', '32766', '9999', '10000', '0', 'abc', '0x1', '0x7ffd', '0x7ffe', '0x8000', '4 '],
};

for (const [option, values] of Object.entries(written)) {
  test(`of ${option} the schema takes what the agent takes`, withHelm, () => {
    const wanted = values.map((value) => [value, agentTakes(`${option}=${value}`)]);
    deepEqual(
      values.map((value) => [value, isTaken({ extraArgs: [`${option}=${value}`] })]),
      wanted,
    );
    equal(new Set(wanted.map(([, taken]) => taken)).size, 2, 'some of each');
  });
}

test('three bits of the packet mark that are not different are refused, however they are written', withHelm, () => {
  for (const [extraArgs, isRefused] of [
    [['--mark-own=0x10'], true],
    [['--mark-own=64'], true],
    [['--mark-gate=0x1000', '--mark-own=0X00001000'], true],
    [['--mark-own=0x10', '--mark-own=0x1000'], false],
    [['--mark-intercept=32', '--mark-own=16'], false],
  ] as const) {
    const json = `--set-json=agent.extraArgs=${JSON.stringify(extraArgs)}`;
    const { status, stderr } = helm('template', 'localdns', chart, json);
    equal(status === 0, !isRefused, `${extraArgs} ${stderr}`);
    if (isRefused) match(stderr, /agent\.extraArgs: .*three different bits/);
  }
});

test('quantities are written as Kubernetes takes them, and selectors may be taken away', withHelm, () => {
  const flags = ['agent.resources.limits.memory=5e8', 'operator.resources.limits.memory=1Pi'].map(
    (one) => `--set=${one}`,
  );
  const { status, stderr } = helm(
    'template',
    'localdns',
    chart,
    ...flags,
    '--set=agent.nodeSelector=null,operator.nodeSelector=null',
  );
  equal(status, 0, stderr);
});

test('the schema takes no option that the chart sets itself, nor half of one', withHelm, () => {
  for (const option of [
    '--state-dir=/tmp',
    '--metrics=0.0.0.0:1',
    '--metrics-port=1',
    '--rule-priority',
    '--no-datapath=1',
  ]) {
    equal(isTaken({ extraArgs: [option] }), false, option);
  }
});

test(
  'a variable that the chart sets is refused as an extra one, which the API server would take in its place',
  withHelm,
  () => {
    for (const [part, kind] of [
      ['agent', 'DaemonSet'],
      ['operator', 'Deployment'],
    ] as const) {
      const names = podOf(only(kind)).container.env?.map(({ name }) => name) ?? [];
      equal(names.length >= 3, true);
      for (const name of names) {
        const flag = `--set-json=${part}.extraEnv=${JSON.stringify([{ name, value: 'x' }])}`;
        const { status, stderr } = helm('template', 'localdns', chart, flag);
        equal(status, 1, name);
        match(stderr, /extraEnv\/0\/name/);
      }
    }
  },
);
