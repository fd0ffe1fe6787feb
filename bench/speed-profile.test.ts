import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { readProfile } from './speed-profile.ts';

test('samples of perf are added up by where the code is; of ours, all forms of a function', () => {
  const lines = [
    '# Overhead\tShared Object\tSymbol',
    ' 40.00%\t[kernel.kallsyms]\t[k] udp_sendmsg',
    ' 10.00%\t[kernel.kallsyms]\t[k] udp_recvmsg',
    " 20.00%\t[JIT] tid 7\t[.] JS:*'#find file:///dist/agent.js:5:36345",
    ' 5.00%\t[JIT] tid 7\t[.] JS:^#find file:///dist/agent.js:5:36345',
    " 8.00%\t[JIT] tid 7\t[.] JS:*'get rcode file:///dist/agent.js:5:28978",
    ' 2.00%\t[JIT] tid 7\t[.] JS:* file:///dist/agent.js:6:23702',
    ' 3.00%\t[JIT] tid 7\t[.] JS:+processImmediate node:internal/timers:525:28',
    ' 2.00%\tnode\t[.] Builtins_MapPrototypeGet',
    ' 0.00%\tlibc.so.6\t[.] memcpy',
    '',
  ];
  const { parts, functions } = readProfile(lines.join('\n'));
  const rounded = (share: number) => Math.round(share * 900) / 10;
  deepEqual(
    parts.map(({ part, share }) => [part, rounded(share)]),
    [
      ['kernel', 50],
      ['our JavaScript', 35],
      ['Node and C libraries', 5],
    ],
  );
  deepEqual(
    functions.map(({ name, share }) => [name, rounded(share)]),
    [
      ['#find', 25],
      ['get rcode', 8],
    ],
  );
});
