import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { namesIn } from '../test/fake/cache-entry.ts';
import { FakeClock } from '../test/fake/clock.ts';
import { a, query, questionName, reply, type } from '../test/fake/octets.ts';
import { eventually } from '../test/tools/eventually.ts';
import { RunFolder } from '../test/tools/run-folder.ts';
import { Entry } from './cache/entry.ts';
import { ResponseCache } from './cache/response-cache.ts';
import { SnapshotReader, writeSnapshot } from './cache/snapshot.ts';
import { CacheCount } from './cache-tally.ts';
import { SnapshotFile } from './snapshot-file.ts';
import { saveIntervalMs, WarmRestart } from './warm-restart.ts';
import { Query } from './wire/query.ts';
import { walkRecords } from './wire/records.ts';

const folder = new RunFolder('warm-restart');
after(() => folder.remove());
const freshDir = () => mkdtempSync(join(folder.path, 'state-'));
const wallMs = 1_700_000_000_000;
const blocks = new Map([['root block', 'aa']]);

/** What an agent has of a cache, without the rest of it. */
class Agent {
  readonly cache = new ResponseCache(1 << 20);
  readonly counts = new Float64Array(Object.keys(CacheCount).length);
  readonly lines: { level: string; msg: string; [field: string]: unknown }[] = [];
  readonly clock: FakeClock;
  readonly restart: WarmRestart;
  /** Octets that its readers have taken. */
  received = 0;

  constructor(stateDir: string, clock = new FakeClock()) {
    this.clock = clock;
    this.restart = new WarmRestart(
      stateDir,
      {
        snapshot: (wall, isEnough) =>
          writeSnapshot(this.cache, blocks, { nowMs: this.clock.nowMs(), wallMs: wall }, isEnough),
        reader: (wall) => {
          const reader = new SnapshotReader(this.cache, blocks, { nowMs: this.clock.nowMs(), wallMs: wall });
          const push = reader.push.bind(reader);
          reader.push = (octets) => {
            this.received += octets.length;
            return push(octets);
          };
          return reader;
        },
      },
      () => this.cache.changes,
      this.counts,
      {
        clock,
        wallMs: () => wallMs,
        random: () => 0.5,
        saveIntervalMs,
        log: (level, msg, fields) => this.lines.push({ level, msg, ...fields }),
      },
    );
    running.push(this);
  }

  learn(...names: string[]): this {
    for (const name of names) {
      const asked = new Query();
      asked.parse(query(name));
      const message = reply(query(name), { answers: [a(questionName, 600, '192.0.2.7')] });
      const walk = walkRecords(message, query(name).length, type.A);
      ok(walk !== undefined);
      this.cache.partition('aa').store(asked, false, Entry.of(message, walk, this.clock.nowMs(), 600, 0));
    }
    return this;
  }

  /** First labels, what was used last first. */
  get names(): string[] {
    return namesIn(this.cache);
  }

  get restored(): { peer: number | undefined; disk: number | undefined } {
    return { peer: this.counts[CacheCount.restoredFromPeer], disk: this.counts[CacheCount.restoredFromDisk] };
  }

  get warnings(): string[] {
    return this.lines.filter(({ level }) => level !== 'info').map(({ msg, error }) => `${msg}: ${error}`);
  }

  /** Ready to hand over, as after its first configuration. */
  async serving(): Promise<this> {
    await this.restart.restore();
    await this.restart.start();
    return this;
  }

  snapshot(): Buffer {
    const frames: Buffer[] = [];
    const moment = { nowMs: this.clock.nowMs(), wallMs };
    for (const frame of writeSnapshot(this.cache, blocks, moment, () => false)) frames.push(Buffer.from(frame ?? ''));
    return Buffer.concat(frames);
  }
}

const running: Agent[] = [];
const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ restart }) => restart.stop()));
  for (const server of servers.splice(0)) server.close();
});

/** Something that owns the socket's path and behaves as a test needs it. */
async function strangePeer(stateDir: string, serve: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(join(stateDir, 'peer'), resolve));
  renameSync(join(stateDir, 'peer'), join(stateDir, 'hand-over.sock'));
  return server;
}

/** Leaves a snapshot with these names on disk, and no socket. */
async function leaveOnDisk(stateDir: string, ...names: string[]): Promise<void> {
  const agent = await new Agent(stateDir).serving();
  agent.learn(...names);
  await agent.restart.stop();
  deepEqual(readdirSync(stateDir), ['cache.snapshot']);
}

suite('an agent that starts beside another', () => {
  test('has its cache, says so, and is the next to be asked', async () => {
    const stateDir = freshDir();
    const first = (await new Agent(stateDir).serving()).learn('a.example', 'b.example');
    deepEqual(first.lines, [], 'a cold start is no news');
    const second = await new Agent(stateDir).serving();
    deepEqual(second.names, ['b', 'a']);
    deepEqual(second.restored, { peer: 2, disk: 0 });
    deepEqual(second.lines, [
      { level: 'info', msg: 'cache restored', source: 'peer', answers: 2, ageMs: 0, durationMs: 0 },
    ]);
    second.learn('c.example');
    deepEqual((await new Agent(stateDir).serving()).names, ['c', 'b', 'a']);
  });

  test('owns the state folder: the older one leaves it alone when it stops', async () => {
    const stateDir = freshDir();
    const first = (await new Agent(stateDir).serving()).learn('a.example');
    const second = (await new Agent(stateDir).serving()).learn('b.example');
    await first.restart.stop();
    deepEqual(readdirSync(stateDir), ['hand-over.sock']);
    deepEqual((await new Agent(stateDir).serving()).names, ['b', 'a'], 'the socket is still there');
    await running.at(-1)?.restart.stop();
    await second.restart.stop();
  });

  test('restores once: what comes later is older than what it knows', async () => {
    const stateDir = freshDir();
    const first = (await new Agent(stateDir).serving()).learn('a.example');
    const second = await new Agent(stateDir).serving();
    first.learn('b.example');
    await second.restart.restore();
    deepEqual(second.names, ['a']);
    equal(second.lines.length, 1);
  });

  test('leaves no socket, told to end while it opens it', async () => {
    const stateDir = freshDir();
    const agent = new Agent(stateDir);
    const started = agent.restart.start();
    await agent.restart.stop();
    await started;
    deepEqual(readdirSync(stateDir), []);
  });

  test('shares with nobody but its own user', async () => {
    const stateDir = freshDir();
    chmodSync(stateDir, 0o777);
    const before = process.umask(0);
    try {
      const first = (await new Agent(stateDir).serving()).learn('a.example');
      equal(statSync(join(stateDir, 'hand-over.sock')).mode & 0o777, 0o600);
      await first.restart.stop();
      equal(statSync(join(stateDir, 'cache.snapshot')).mode & 0o777, 0o600);
    } finally {
      process.umask(before);
    }
  });

  test('a cache of many frames comes whole', async () => {
    const stateDir = freshDir();
    const many = Array.from({ length: 2_000 }, (_, name) => `n${name}.example`);
    const first = (await new Agent(stateDir).serving()).learn(...many);
    deepEqual((await new Agent(stateDir).serving()).names, first.names);
  });
});

suite('where there is no agent to ask, or none that answers, the disk has the cache', () => {
  test('the one before it stopped', async () => {
    const stateDir = freshDir();
    await leaveOnDisk(stateDir, 'a.example');
    const agent = await new Agent(stateDir).serving();
    deepEqual([agent.names, agent.restored], [['a'], { peer: 0, disk: 1 }]);
    deepEqual(agent.warnings, []);
  });

  test('the one before it was killed, and left its socket behind', async () => {
    const stateDir = freshDir();
    await leaveOnDisk(stateDir, 'a.example');
    const killed = await strangePeer(stateDir, () => {});
    await new Promise((resolve) => killed.close(resolve));
    ok(existsSync(join(stateDir, 'hand-over.sock')));
    const agent = await new Agent(stateDir).serving();
    deepEqual([agent.names, agent.warnings], [['a'], []]);
    // It has taken the path all the same.
    agent.learn('b.example');
    deepEqual((await new Agent(stateDir).serving()).restored, { peer: 2, disk: 0 });
  });

  test('it dies in the middle: half a snapshot is not used', async () => {
    const stateDir = freshDir();
    await leaveOnDisk(stateDir, 'old.example');
    const octets = new Agent(freshDir()).learn('new.example').snapshot();
    await strangePeer(stateDir, (socket) => socket.end(octets.subarray(0, octets.length - 5)));
    const agent = await new Agent(stateDir).serving();
    deepEqual(agent.names, ['old']);
    deepEqual(agent.warnings, ['cache snapshot not used: it is cut off']);
  });

  test('it hangs: after half a second without an octet', async () => {
    const stateDir = freshDir();
    await leaveOnDisk(stateDir, 'a.example');
    const octets = new Agent(freshDir()).learn('new.example').snapshot();
    await strangePeer(stateDir, (socket) => socket.write(octets.subarray(0, 100)));
    const agent = new Agent(stateDir);
    const restored = agent.restart.restore();
    await eventually('the first octets', 5_000, () => agent.received === 100);
    await agent.clock.advance(499);
    deepEqual(agent.lines, []);
    await agent.clock.advance(1);
    await restored;
    deepEqual([agent.names, agent.warnings], [['a'], ['cache snapshot not used: nothing came for 500 ms']]);
  });

  test('it is slow: after three seconds what came is good', async () => {
    const stateDir = freshDir();
    const whole = new Agent(freshDir()).learn(...Array.from({ length: 600 }, (_, name) => `n${name}.example`));
    const octets = whole.snapshot();
    const sockets: Socket[] = [];
    await strangePeer(stateDir, (socket) => sockets.push(socket));
    const agent = new Agent(stateDir);
    const restored = agent.restart.restore();
    await eventually('a connection', 5_000, () => sockets.length === 1);
    const [peer] = sockets as [Socket];
    const pieces = 8;
    const pieceLength = Math.floor((octets.length * 0.9) / pieces);
    for (let piece = 0; piece < pieces; piece += 1) {
      peer.write(octets.subarray(piece * pieceLength, (piece + 1) * pieceLength));
      await eventually('a piece', 5_000, () => agent.received === (piece + 1) * pieceLength);
      await agent.clock.advance(piece < pieces - 1 ? 400 : 200);
    }
    await restored;
    deepEqual(agent.names, whole.names.slice(0, 512));
    deepEqual(agent.restored, { peer: 512, disk: 0 });
    equal(agent.lines[0]?.late, true);
  });

  test('an agent that is told to end meanwhile waits for neither', async () => {
    const stateDir = freshDir();
    await leaveOnDisk(stateDir, 'a.example');
    let asked = false;
    await strangePeer(stateDir, () => {
      asked = true;
    });
    const agent = new Agent(stateDir);
    const restored = agent.restart.restore();
    await eventually('the question', 5_000, () => asked);
    agent.restart.giveUp();
    await restored;
    deepEqual([agent.names, agent.warnings, agent.clock.pending], [[], [], 0]);
    const late = new Agent(stateDir);
    late.restart.giveUp();
    await late.restart.restore();
    deepEqual(late.names, []);
  });

  test('a file that is damaged is no cache, and is said once', async () => {
    const stateDir = freshDir();
    await leaveOnDisk(stateDir, 'a.example', 'b.example');
    const path = join(stateDir, 'cache.snapshot');
    const octets = readFileSync(path);
    octets[octets.length - 40] = 0x55;
    writeFileSync(path, octets);
    const agent = await new Agent(stateDir).serving();
    deepEqual([agent.names, agent.restored], [[], { peer: 0, disk: 0 }]);
    deepEqual(agent.warnings, ['cache snapshot not used: it is damaged: a checksum is wrong']);
  });
});

suite('the snapshot on disk', () => {
  const file = (stateDir: string) => join(stateDir, 'cache.snapshot');

  test('is written every five minutes if something has changed, and leaves nothing beside it', async () => {
    const stateDir = freshDir();
    const agent = await new Agent(stateDir).serving();
    await agent.clock.advance(5 * 60_000);
    deepEqual(readdirSync(stateDir), ['hand-over.sock'], 'there is nothing to keep');
    agent.learn('a.example');
    await agent.clock.advance(5 * 60_000);
    await eventually('the file', 5_000, () => existsSync(file(stateDir)));
    deepEqual(readdirSync(stateDir).sort(), ['cache.snapshot', 'hand-over.sock']);
    // Not by its inode, whose number a new file may have again.
    const { mtimeNs } = statSync(file(stateDir), { bigint: true });
    await agent.clock.advance(5 * 60_000);
    await agent.restart.stop();
    equal(statSync(file(stateDir), { bigint: true }).mtimeNs, mtimeNs, 'nothing has changed');
  });

  test('is cut short when stopping takes long, and has what was used last', async () => {
    const stateDir = freshDir();
    /** Each look at it takes a while: a slow machine. */
    class SlowClock extends FakeClock {
      stepMs = 0;
      #slowness = 0;
      override nowMs(): number {
        this.#slowness += this.stepMs;
        return super.nowMs() + this.#slowness;
      }
    }
    const clock = new SlowClock();
    const agent = await new Agent(stateDir, clock).serving();
    for (let name = 0; name < 3_000; name += 1) agent.learn(`n${name}.example`);
    const names = agent.names;
    clock.stepMs = 300;
    await agent.restart.stop();
    const next = await new Agent(stateDir).serving();
    ok(next.names.length >= 256 && next.names.length < 2_000, `${next.names.length} answers`);
    deepEqual(next.names, names.slice(0, next.names.length));
    deepEqual(next.warnings, []);
  });

  test('a disk that hangs does not keep the agent from stopping', async (context) => {
    const agent = (await new Agent(freshDir()).serving()).learn('a.example');
    const written = Promise.withResolvers<void>();
    context.mock.method(SnapshotFile.prototype, 'write', () => written.promise);
    let stopped = false;
    const stop = agent.restart.stop().then(() => {
      stopped = true;
    });
    await agent.clock.advance(1_499);
    equal(stopped, false);
    await agent.clock.advance(1);
    await stop;
    written.resolve();
  });

  for (const [what, suffix, warning] of [
    ['read', '', 'cache snapshot not used'],
    ['write', '.new', 'the cache cannot be left to the next agent'],
  ] as const) {
    test(`a pipe where it would ${what} a file is not waited for: a thread that waits would keep the process from ending`, async () => {
      const stateDir = freshDir();
      const pipe = `${file(stateDir)}${suffix}`;
      equal(spawnSync('mkfifo', [pipe]).status, 0);
      const agent = new Agent(stateDir);
      let stopped = false;
      const done = agent
        .serving()
        .then(() => agent.learn('a.example').restart.stop())
        .then(() => {
          stopped = true;
        });
      try {
        await eventually('the end', 5_000, () => stopped);
        ok(agent.lines.some(({ level, msg }) => level === 'warn' && msg === warning));
      } finally {
        // Lets a thread go that waits for the other end.
        const end = existsSync(pipe) ? openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK) : undefined;
        await done;
        if (end !== undefined) closeSync(end);
      }
    });
  }
});

test('where the configuration wants no warm restart, nothing is left for others, and it can be wanted again', async () => {
  const stateDir = freshDir();
  const agent = await new Agent(stateDir).learn('a.example').serving();
  await agent.restart.stop();
  const next = await new Agent(stateDir).serving();
  deepEqual(next.names, ['a']);
  await next.restart.forget();
  const later = new Agent(stateDir);
  await later.restart.restore();
  deepEqual(later.names, []);
  await next.restart.start();
  const last = await new Agent(stateDir).serving();
  deepEqual(last.names, ['a']);
});

suite('a state folder that cannot be used costs one line, and the warm start', () => {
  const unusable: [what: string, make: () => string, complaint: RegExp][] = [
    [
      'a file in its place',
      () => {
        const path = join(freshDir(), 'file');
        writeFileSync(path, '');
        return path;
      },
      /EEXIST|ENOTDIR/,
    ],
    ['a path that is too long for a socket', () => join(freshDir(), 'x'.repeat(100)), /longer than a socket/],
    ['a folder that nobody can make', () => '/sys/localdns-state', /EROFS|EACCES|EPERM/],
  ];
  for (const [what, make, complaint] of unusable) {
    test(what, async () => {
      const agent = (await new Agent(make()).serving()).learn('a.example');
      await agent.restart.stop();
      equal(agent.warnings.length, 1, agent.warnings.join('\n'));
      match(agent.warnings[0] ?? '', complaint);
    });
  }

  test('where only the socket is impossible, the disk still has the cache', async () => {
    const stateDir = join(freshDir(), 'x'.repeat(100));
    const agent = (await new Agent(stateDir).serving()).learn('a.example');
    await agent.restart.stop();
    deepEqual((await new Agent(stateDir).serving()).restored, { peer: 0, disk: 1 });
  });
});
