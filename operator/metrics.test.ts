import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Metrics } from './metrics.ts';

const module = JSON.stringify(new URL('./metrics.ts', import.meta.url).href);
/** Who listens where the options name no address, and asks itself at each of the given ones; one line with what came of each. */
const program = `import { Metrics } from ${module};
const metrics = new Metrics();
const port = await metrics.listen({ host: undefined, port: 0 });
const ask = (address) => fetch('http://' + address + ':' + port + '/healthz').then(({ status }) => status, () => 'nobody');
console.log(JSON.stringify(await Promise.all(process.argv.slice(1).map(ask))));
metrics.close();`;
const node = [process.execPath, '--input-type=module', '--eval', program, '--', '127.0.0.1', '[::1]'];

/** In a network namespace of its own, after `prepare`; undefined where this process may not make one. */
async function inNamespace(prepare: string): Promise<unknown> {
  const script = `ip link set lo up && { ${prepare}; } && exec "$@"`;
  try {
    await promisify(execFile)('unshare', ['-n', 'sh', '-c', 'ip link set lo up']);
  } catch {
    return undefined;
  }
  const { stdout } = await promisify(execFile)('unshare', ['-n', 'sh', '-c', script, 'sh', ...node]);
  return JSON.parse(stdout);
}

const sysctl = '/proc/sys/net/ipv6';
for (const [what, prepare, answers] of [
  ['kubelet is answered at an address of either family', 'true', [200, 200]],
  ['… whatever a node says of listeners at `::`', `echo 1 > ${sysctl}/bindv6only`, [200, 200]],
  [
    '… and over IPv4 where IPv6 is turned off',
    `for c in ${sysctl}/conf/*; do echo 1 > $c/disable_ipv6; done`,
    [200, 'nobody'],
  ],
] as const) {
  test(what, async (context) => {
    const seen = await inNamespace(prepare);
    if (seen === undefined) return context.skip('needs a network namespace');
    assert.deepEqual(seen, answers);
  });
}

test('an address that is named is the only one', async () => {
  const metrics = new Metrics();
  const port = await metrics.listen({ host: '127.0.0.2', port: 0 });
  await fetch(`http://127.0.0.2:${port}/healthz`);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/healthz`));
  metrics.close();
});
