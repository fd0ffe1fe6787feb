import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { FakeClock } from '../test/fake/clock.ts';
import { buildQuery } from '../test/fake/message.ts';
import { eventually } from '../test/tools/eventually.ts';
import { RunFolder } from '../test/tools/run-folder.ts';
import { openLog } from './log.ts';
import { LogOutput, withoutWaiting } from './log-output.ts';

const withinMs = 20_000;
const retryMs = 100;
/** Of this process alone: what nobody reads cannot say where it listens. */
const address = `127.${process.pid >> 16}.${(process.pid >> 8) & 255}.${process.pid & 255}`;
const folder = new RunFolder('log-output');
after(() => folder.remove());

/** A pipe that nobody reads until the test does. */
class Pipe {
  readonly path = join(mkdtempSync(join(folder.path, 'case-')), 'pipe');
  /** Both ends, so that nobody waits for the other one. */
  readonly fd: number;

  constructor() {
    execFileSync('mkfifo', [this.path]);
    this.fd = openSync(this.path, constants.O_RDWR | constants.O_NONBLOCK);
  }

  fill(): void {
    const line = Buffer.from('before\n');
    try {
      for (;;) writeSync(this.fd, line);
    } catch {}
  }

  read(): string {
    const all: Buffer[] = [];
    try {
      for (;;) {
        const chunk = Buffer.alloc(65_536);
        const length = readSync(this.fd, chunk);
        if (length === 0) break;
        all.push(chunk.subarray(0, length));
      }
    } catch {}
    return Buffer.concat(all).toString();
  }
}

suite('the output of the log', () => {
  const opened: number[] = [];
  afterEach(() => {
    for (const fd of opened.splice(0)) closeSync(fd);
  });

  function outputTo(pipe: Pipe, mostOctets?: number) {
    // What the process has for its stdout waits, as a descriptor does.
    const stdout = openSync(pipe.path, constants.O_WRONLY);
    const fd = withoutWaiting(stdout);
    opened.push(pipe.fd, stdout, fd);
    const clock = new FakeClock();
    return { output: new LogOutput(fd, clock, mostOctets), clock };
  }

  test('writes a line at once, where it is taken', () => {
    const pipe = new Pipe();
    const { output } = outputTo(pipe);
    output.write('one\n');
    equal(pipe.read(), 'one\n');
    output.hold('two\n');
    equal(pipe.read(), '');
    output.write('three\n');
    equal(pipe.read(), 'two\nthree\n');
    equal(output.lost, 0);
  });

  test('lines wait while the pipe is full, further ones are lost and counted, and what waited is written whole and in order', async () => {
    const pipe = new Pipe();
    const { output, clock } = outputTo(pipe, 1000);
    pipe.fill();
    const lines = Array.from({ length: 30 }, (_, number) => `${number}: ${'x'.repeat(90)}\n`);
    for (const line of lines) output.write(line);
    const kept = lines.filter((_, number) => number < 10);
    equal(output.lost, 20);
    ok(pipe.read().endsWith('before\n'));
    await clock.advance(retryMs);
    equal(pipe.read(), kept.join(''));
    output.write('and on\n');
    equal(pipe.read(), 'and on\n');
    equal(output.lost, 20);
  });

  test('more than a pipe holds is written in parts, none of them twice', async () => {
    const pipe = new Pipe();
    const { output, clock } = outputTo(pipe);
    const lines = Array.from({ length: 5_000 }, (_, number) => `${number}: ${'y'.repeat(90)}\n`);
    for (const line of lines) output.hold(line);
    output.flush();
    let read = '';
    for (let turn = 0; turn < 20; turn += 1) {
      read += pipe.read();
      await clock.advance(retryMs);
    }
    equal(read, lines.join(''));
    equal(output.lost, 0);
    equal(clock.pending, 0);
  });

  test('of the room, a share is not for every line', () => {
    const pipe = new Pipe();
    const { output } = outputTo(pipe, 1000);
    pipe.fill();
    for (let count = 0; count < 9; count += 1) output.hold(`${'q'.repeat(99)}\n`, 0.5);
    equal(output.lost, 4);
    output.write(`${'e'.repeat(99)}\n`);
    equal(output.lost, 4);
    equal(output.waiting, 600);
  });

  test('the last lines wait for whoever reads them, but not for ever', async () => {
    const pipe = new Pipe();
    const { output, clock } = outputTo(pipe);
    pipe.fill();
    output.write('stopped\n');
    let ended = false;
    const end = output.end(1_000).then(() => {
      ended = true;
    });
    await clock.advance(retryMs * 3);
    equal(ended, false);
    pipe.read();
    await clock.advance(retryMs);
    await end;
    equal(pipe.read(), 'stopped\n');

    pipe.fill();
    output.write('nobody reads this\n');
    const given = output.end(1_000);
    await clock.advance(1_100);
    await given;
  });

  test('where nobody can read it any more, lines are lost and counted, and nothing else happens', () => {
    const pipe = new Pipe();
    const fd = openSync(pipe.path, constants.O_WRONLY);
    opened.push(fd);
    const output = new LogOutput(fd, new FakeClock());
    closeSync(pipe.fd);
    output.hold('one\n');
    output.write('two\n');
    output.write('three\n');
    deepEqual([output.lost, output.waiting], [3, 0]);
  });

  test('what is no pipe is taken as it is: lines follow on what stands in a file', () => {
    const path = join(folder.path, 'file');
    writeFileSync(path, 'before\n');
    const fd = openSync(path, 'a');
    opened.push(fd);
    equal(withoutWaiting(fd), fd);
  });
});

suite('an agent whose output nobody reads', () => {
  test('serves, is healthy, tells its metrics and counts the lines that are lost; its last line is read by whoever reads at last', async () => {
    const pipe = new Pipe();
    const directory = mkdtempSync(join(folder.path, 'agent-'));
    const profile = join(directory, 'profile.json');
    const kind = { apiVersion: 'localdns.dev/v1alpha1', kind: 'LocalDnsProfile', metadata: { name: 'a' } };
    writeFileSync(profile, JSON.stringify({ ...kind, spec: { vnetDNSOverrides: { '.': { queryLogging: 'Log' } } } }));
    const [cluster, node, metrics] = [`${address}:1053`, `${address}:1054`, `${address}:9353`];
    pipe.fill();
    const args = ['agent', '--profile', profile, '--cluster-dns', '127.0.0.1:9', '--node-dns', '127.0.0.1:9'];
    const listen = ['--listen-cluster', cluster, '--listen-node', node, '--metrics', metrics, '--no-datapath'];
    // Opened anew: that its writes wait is said of the child's end alone.
    const stdout = openSync(pipe.path, constants.O_WRONLY);
    const child = spawn(resolve(import.meta.dirname, '../bin/localdns'), [...args, ...listen], {
      stdio: ['ignore', stdout, 'ignore'],
    });
    if (child.pid !== undefined) folder.recordProcess(child.pid);
    closeSync(stdout);
    const end = once(child, 'exit');
    let said = '';
    let lastMoment: Promise<unknown> | undefined;
    try {
      const get = async (path: string) =>
        (await fetch(`http://${metrics}${path}`, { signal: AbortSignal.timeout(5_000) })).text();
      await eventually('a listener that answers', withinMs, async () => (await get('/readyz')) === 'ok\n');
      await flood(1054, 8_000);
      await eventually(
        'lines that are lost',
        withinMs,
        async () => Number(/^localdns_lost_log_lines_total (\d+)$/m.exec(await get('/metrics'))?.[1]) > 1_000,
      );
      equal(await get('/healthz'), 'ok\n');
      // What waits by now may take longer than the end waits for. Little does not.
      await eventually('a line behind all that waited', withinMs, async () => {
        said += pipe.read();
        await flood(1054, 1, 'last.localhost');
        return said.includes('last.localhost');
      });
      pipe.fill();
      await flood(1054, 100);
      // Closed when nothing is left to do but to wait for whoever reads.
      const health = connect(9353, address);
      health.write('GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n');
      await once(health, 'data');
      lastMoment = once(health, 'close');
    } finally {
      child.kill('SIGTERM');
    }
    await lastMoment;
    await eventually('the end', withinMs, () => {
      said += pipe.read();
      return child.exitCode !== null;
    });
    deepEqual(await end, [0, null]);
    const lines = `${said}${pipe.read()}`.split('\n').filter((line) => line.startsWith('{'));
    match(lines.at(-1) ?? '', /"msg":"stopped"/);
  });
});

/** Over TCP, so that none is lost: of a name that the agent knows by itself. */
async function flood(port: number, queries: number, name = 'localhost'): Promise<void> {
  const query = buildQuery({ name });
  const frame = Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]);
  const atOnce = Math.min(queries, 100);
  const some = Buffer.concat(Array.from({ length: atOnce }, () => frame));
  const socket = connect(port, address);
  try {
    await once(socket, 'connect');
    let held = Buffer.alloc(0);
    for (let left = queries; left > 0; left -= atOnce) {
      socket.write(some);
      for (let answered = 0; answered < atOnce; ) {
        if (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
          held = held.subarray(2 + held.readUInt16BE(0));
          answered += 1;
        } else
          held = Buffer.concat([
            held,
            (await once(socket, 'data', { signal: AbortSignal.timeout(withinMs) }))[0] as Buffer,
          ]);
      }
    }
  } finally {
    socket.destroy();
  }
}

test('a level that leaves out the usual lines leaves those about queries, which a profile has asked for', () => {
  const path = join(folder.path, 'lines');
  const fd = openSync(path, 'w');
  const { log, queries } = openLog('warn', new FakeClock(), fd);
  log.info('usual');
  queries.write({ name: 'www.example.' }, 0);
  queries.flush();
  closeSync(fd);
  const written = readFileSync(path, 'utf8');
  match(written, /"name":"www\.example\."/);
  equal(written.includes('usual'), false);
});
