import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { after, afterEach, suite, test } from 'node:test';
import { buildQuery, type Message, readMessage } from '../test/fake/message.ts';
import { SocketUpstream } from '../test/fake/socket-upstream.ts';
import { eventually } from '../test/tools/eventually.ts';
import { RunFolder } from '../test/tools/run-folder.ts';

const root = resolve(import.meta.dirname, '..');
const address = '127.0.0.1';
const startMs = 20_000;
/** How soon an edit must be in force on a machine that has much else to do; otherwise it is in a quarter of a second and what a look takes. */
const editMs = 10_000;
const folder = new RunFolder('standalone');
after(() => folder.remove());

interface Line {
  level: string;
  msg: string;
  [field: string]: unknown;
}

/** The real program, in a process of its own. */
class Program {
  readonly lines: Line[] = [];
  stderr = '';
  readonly exit: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(command: string, args: string[]) {
    this.#child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const { pid, stdout, stderr } = this.#child;
    if (pid !== undefined) folder.recordProcess(pid);
    let rest = '';
    stdout?.on('data', (chunk) => {
      const parts = `${rest}${chunk}`.split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts.map((part) => JSON.parse(part) as Line));
    });
    stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.exit = once(this.#child, 'close').then(([code]) => code);
  }

  /** The `count`th line with this message. */
  said(msg: string, withinMs = startMs, count = 1): Promise<Line> {
    return eventually(`the line "${msg}"`, withinMs, () => {
      const line = this.lines.filter((said) => said.msg === msg)[count - 1];
      if (line === undefined) throw new Error(this.stderr);
      return line;
    });
  }

  async port(listener = 'cluster'): Promise<number> {
    const { listening } = (await this.said('serving')) as unknown as { listening: { name: string; port: number }[] };
    return listening.find(({ name }) => name === listener)?.port ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }
}

const programs: Program[] = [];
const loops: OpenLoop[] = [];
afterEach(async () => {
  for (const loop of loops.splice(0)) loop.stop();
  for (const program of programs) program.signal('SIGKILL');
  await Promise.all(programs.splice(0).map(({ exit }) => exit));
});

const anyPorts = ['--listen-cluster', `${address}:0`, '--listen-node', `${address}:0`, '--metrics', `${address}:0`];

function start(profile: string, ...options: string[]): Program {
  const args = ['agent', '--profile', profile, ...options];
  const program = new Program(join(root, 'bin/localdns'), args);
  programs.push(program);
  return program;
}

function profileFile(text: string): string {
  const path = join(mkdtempSync(join(folder.path, 'case-')), 'profile.yaml');
  writeFileSync(path, text);
  return path;
}

/** A profile whose root zone is asked of `server`. */
const profile = (server: string, more = '') => `
apiVersion: localdns.dev/v1alpha1
kind: LocalDnsProfile
metadata: { name: test }
spec:
  upstreams: [{ name: here, servers: ["${server}"] }]
  kubeDNSOverrides:
    ".": { forwardDestination: here${more} }
  vnetDNSOverrides:
    ".": { forwardDestination: here }
`;

/** An upstream that answers everything with `data`. */
async function upstreamWith(data: string, ttl = 60): Promise<SocketUpstream> {
  const upstream = await new SocketUpstream((query) =>
    query.answer({ answers: [`${query.question.name} ${ttl} A ${data}`] }),
  ).open();
  after(() => upstream.close());
  return upstream;
}

/** How often the upstream was asked, probes for loops left out. */
const questions = ({ queries }: SocketUpstream) =>
  queries.filter(({ question }) => !question.name.toLowerCase().endsWith('.localdns')).length;

async function ask(port: number, name: string, overTcp = false): Promise<Message> {
  const query = buildQuery({ name, edns: { asksOrigin: true } });
  if (!overTcp) {
    const socket = createSocket('udp4');
    try {
      socket.send(query, port, address);
      const [message] = await once(socket, 'message', { signal: AbortSignal.timeout(5_000) });
      return readMessage(message);
    } finally {
      socket.close();
    }
  }
  const socket = connect({ host: address, port });
  const length = Buffer.alloc(2);
  length.writeUInt16BE(query.length);
  socket.write(Buffer.concat([length, query]));
  let received = Buffer.alloc(0);
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk]);
    if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) break;
  }
  return readMessage(received.subarray(2));
}

/** Asks for a new name every five milliseconds, whether or not the ones before have been answered, and never twice. */
class OpenLoop {
  sent = 0;
  readonly rcodes: string[] = [];
  readonly data = new Set<string>();
  readonly #socket = createSocket('udp4');
  readonly #timer: NodeJS.Timeout;

  constructor(port: number) {
    loops.push(this);
    this.#socket.on('message', (bytes) => {
      const { rcode, answers } = readMessage(bytes);
      this.rcodes.push(rcode);
      this.data.add(answers[0]?.split(' ').at(-1) ?? '');
    });
    this.#timer = setInterval(() => {
      this.sent += 1;
      // Every fourth is one that the cache knows.
      const name = this.sent % 4 === 0 ? 'known.example' : `n${this.sent}.example`;
      this.#socket.send(buildQuery({ name, id: this.sent }), port, address);
    }, 5);
  }

  /** None may be lost: each query has its answer, and a good one. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await eventually('every query is answered', 5_000, () => this.rcodes.length === this.sent);
    deepEqual([...new Set(this.rcodes)], ['NOERROR']);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }
}

suite('the stand-alone agent', () => {
  test('says where it serves, answers over UDP and TCP and from its cache, shows its health, and ends on SIGTERM', async () => {
    const services = profileFile(`
services:
  - { namespace: default, name: kubernetes, clusterIP: 10.96.0.1 }
`);
    const path = profileFile(profile('127.0.0.1:9'));
    const program = start(path, ...anyPorts, '--cluster-dns', `embedded:${services}`);
    const serving = (await program.said('serving')) as unknown as { listening: { name: string; address: string }[] };
    deepEqual(
      serving.listening.map((at) => `${at.name} ${at.address}`),
      ['cluster 127.0.0.1', 'node 127.0.0.1'],
    );
    const port = await program.port();
    const name = 'kubernetes.default.svc.cluster.local';
    const first = await ask(port, name);
    const second = await ask(port, name, true);
    const addressOf = ({ answers }: Message) => answers.map((record) => record.split(' ').at(-1));
    deepEqual([first.rcode, first.origin, addressOf(first)], ['NOERROR', 'forwarded', ['10.96.0.1']]);
    deepEqual([second.rcode, second.origin, addressOf(second)], ['NOERROR', 'cache', ['10.96.0.1']]);
    equal(
      (await ask(await program.port('node'), name)).origin,
      'forwarded',
      'the node listener has a cache of its own',
    );

    const { url } = (await program.said('metrics and health')) as unknown as { url: string };
    for (const path of ['/healthz', '/readyz']) equal((await fetch(`${url}${path}`)).status, 200, path);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    match(metrics, /^localdns_zone_answers_total\{listener="cluster",zone="cluster.local",origin="cache"\} 1$/m);
    match(metrics, /^localdns_upstream_queries_total\{upstream="127.0.0.1:\d+",transport="tcp"\} 2$/m);
    match(metrics, /^localdns_upstream_connections\{upstream="127.0.0.1:\d+",transport="tcp"\} [12]$/m);
    match(metrics, /^localdns_serving 1$/m);

    writeFileSync(services, 'services: [{ namespace: default, name: web, clusterIP: 10.96.0.7 }]\n');
    await program.said('Services read', editMs, 2);
    deepEqual(addressOf(await ask(port, 'web.default.svc.cluster.local')), ['10.96.0.7']);
    writeFileSync(services, 'services: [{ namespace: default, name: web }]\n');
    const refusal = await program.said('the Services are refused; the old ones stay', editMs);
    match(String(refusal.errors), /services\[?\.?0/);

    program.signal('SIGTERM');
    equal(await program.exit, 0);
    equal(program.lines.at(-1)?.msg, 'stopped');
  });

  test('opens the listener alone that an option names, where the profile names none', async () => {
    const upstream = await upstreamWith('192.0.2.1');
    for (const [option, name] of [
      ['--listen-cluster', 'cluster'],
      ['--listen-node', 'node'],
    ] as const) {
      const path = profileFile(profile(upstream.endpoint));
      const program = start(path, option, `${address}:0`, '--metrics', `${address}:0`, '--cluster-dns', 'embedded');
      const { listening } = (await program.said('serving')) as unknown as { listening: { name: string }[] };
      deepEqual(
        listening.map((at) => at.name),
        [name],
      );
      deepEqual((await ask(await program.port(name), 'www.example')).answers, ['www.example 60 A 192.0.2.1']);
    }
  });

  test('writes a line for each query where queryLogging says so, and the last ones before it ends', async () => {
    const upstream = await upstreamWith('192.0.2.1');
    const program = start(profileFile(profile(upstream.endpoint, ', queryLogging: Log')), ...anyPorts);
    const port = await program.port();
    await ask(port, 'one.example');
    const asked = () => program.lines.filter(({ msg, name }) => msg === 'query' && String(name).endsWith('.example.'));
    await eventually('the first line', startMs, () => asked().length === 1);
    await ask(port, 'one.example', true);
    await ask(port, 'two.example');
    program.signal('SIGTERM');
    equal(await program.exit, 0);
    deepEqual(
      asked().map(({ level, client, transport, name, type, rcode, origin }) =>
        [level, client, transport, name, type, rcode, origin].join(' '),
      ),
      [
        'info 127.0.0.1 udp one.example. 1 0 forwarded',
        'info 127.0.0.1 tcp one.example. 1 0 cache',
        'info 127.0.0.1 udp two.example. 1 0 forwarded',
      ],
    );
    for (const { time } of asked()) ok(Math.abs(Date.now() - Date.parse(String(time))) < startMs, String(time));
  });

  test('clients over TCP are answered what nobody knows yet, however much comes over UDP', async () => {
    const upstream = await upstreamWith('192.0.2.1');
    const program = start(profileFile(profile(upstream.endpoint)), ...anyPorts);
    const port = await program.port();
    const { url } = (await program.said('metrics and health')) as unknown as { url: string };
    await ask(port, 'cached.example');
    const query = buildQuery({ name: 'cached.example' }).toString('hex');
    // As fast as a process can; nobody reads the answers.
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      const query = Buffer.from('${query}', 'hex');
      const send = () => { for (let n = 0; n < 200; n += 1) socket.send(query, ${port}, '${address}'); setImmediate(send); };
      send();`;
    const flood = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    if (flood.pid !== undefined) folder.recordProcess(flood.pid);
    try {
      const received = async () => {
        const metrics = await (await fetch(`${url}/metrics`)).text();
        return Number(/^localdns_queries_total\{listener="cluster",transport="udp"\} (\d+)$/m.exec(metrics)?.[1]);
      };
      await eventually('the flood is there', startMs, async () => (await received()) > 10_000);
      for (let count = 0; count < 20; count += 1) {
        const askedAt = performance.now();
        equal((await ask(port, `new-${count}.example`, true)).rcode, 'NOERROR');
        const tookMs = performance.now() - askedAt;
        ok(tookMs < editMs, `${tookMs} ms`);
      }
    } finally {
      flood.kill('SIGKILL');
    }
  });

  test('takes an edit in place and a rename over its file, refuses a bad one whole, and loses no query', async () => {
    const [one, two, three] = await Promise.all(['192.0.2.1', '192.0.2.2', '192.0.2.3'].map(upstreamWith));
    if (one === undefined || two === undefined || three === undefined) throw new Error('no upstream');
    const path = profileFile(profile(one.endpoint));
    const program = start(path, ...anyPorts, '--cluster-dns', 'embedded');
    const loop = new OpenLoop(await program.port());
    const inForce = (data: string) => eventually(`answers with ${data}`, editMs, () => loop.data.has(data));
    await inForce('192.0.2.1');

    writeFileSync(path, profile(two.endpoint));
    await inForce('192.0.2.2');

    writeFileSync(path, profile(three.endpoint, ', maxConcurrent: -1, protocol: ForceUDP').replace('kind:', 'kinds:'));
    const refusal = await program.said('the profile is refused; the old one keeps serving', editMs);
    for (const wanted of ['kinds', 'maxConcurrent', 'protocol']) {
      ok(
        (refusal.errors as string[]).some((error) => error.includes(wanted) && error.includes(path)),
        `${wanted} in ${refusal.errors}`,
      );
    }
    const answeredBefore = loop.rcodes.length;
    await eventually('answers from the old profile', editMs, () => loop.rcodes.length > answeredBefore + 20);
    equal(three.queries.length, 0);

    writeFileSync(`${path}.new`, profile(three.endpoint));
    renameSync(`${path}.new`, path);
    await inForce('192.0.2.3');
    await loop.end();
    program.signal('SIGINT');
    equal(await program.exit, 0);
  });

  test('ends with 2 and every error, each with its path, where the profile is bad at the start', async () => {
    const path = profileFile(profile('127.0.0.1:9', ', maxConcurrent: -1').replace('metadata: { name: test }', ''));
    const program = start(path, ...anyPorts, '--cluster-dns', 'embedded');
    equal(await program.exit, 2);
    const complaints = program.stderr.trim().split('\n');
    equal(complaints.length, 2, program.stderr);
    for (const field of ['metadata', 'spec.kubeDNSOverrides["."].maxConcurrent']) {
      ok(
        complaints.some((line) => line.startsWith(`localdns: ${path}: ${field}`)),
        `${field} in ${program.stderr}`,
      );
    }
    const broken = start(profileFile(profile('no server').replaceAll('here }', 'there }')), ...anyPorts);
    equal(await broken.exit, 2);
    for (const wanted of ['servers', 'kubeDNSOverrides', 'vnetDNSOverrides'])
      ok(broken.stderr.includes(wanted), broken.stderr);
    const missing = start(`${path}.none`, ...anyPorts, '--cluster-dns', 'embedded');
    equal(await missing.exit, 2);
    match(missing.stderr, /^localdns: .*profile\.yaml\.none: cannot be read\n$/);
  });

  test('leaves out or refuses by mode what an operator would have to judge: patterns, and Services, which it does not know', async () => {
    const upstream = await upstreamWith('192.0.2.1');
    const wanted = [
      'spec.redirects[0].match.patterns[0]: not a pattern of the RE2 syntax: invalid escape sequence at character 4: \\1',
      'spec.redirects[1].target.serviceRef: a stand-alone agent knows no Services: name addresses in place of the serviceRef',
    ];
    const redirecting = (mode: string) => `${profile(upstream.endpoint)}  mode: ${mode}
  redirects:
    - name: a
      match: { patterns: ['(a)\\1', 'a\\.example'] }
      target: { addresses: [192.0.2.7] }
    - name: b
      match: { suffixes: [b.example] }
      target: { serviceRef: { namespace: emulator, name: cloud } }
`;
    const path = profileFile(redirecting('Preferred'));
    const program = start(path, ...anyPorts, '--cluster-dns', 'embedded');
    const port = await program.port();
    deepEqual((await program.said('parts of the profile are left out; the rest is served')).leftOut, wanted);
    match((await ask(port, 'a.example')).answers.join(), / A 192\.0\.2\.7$/);
    match((await ask(port, 'b.example')).answers.join(), / A 192\.0\.2\.1$/);

    writeFileSync(path, redirecting('Required'));
    const refusal = await program.said('the profile is refused; the old one keeps serving', editMs);
    deepEqual(
      refusal.errors,
      wanted.map((error) => `${path}: ${error}`),
    );
    match((await ask(port, 'a.example')).answers.join(), / A 192\.0\.2\.7$/);
    const another = start(path, ...anyPorts, '--cluster-dns', 'embedded');
    equal(await another.exit, 2);
    equal(another.stderr, wanted.map((error) => `localdns: ${path}: ${error}\n`).join(''));
  });

  test('ends with 2 and says which port is taken and how to find out by whom', async () => {
    const path = profileFile(profile('127.0.0.1:9'));
    const socket = createSocket('udp4');
    socket.bind(0, address);
    const server = createServer();
    server.listen(0, address);
    await Promise.all([once(socket, 'listening'), once(server, 'listening')]);
    const taken = server.address();
    const tcpPort = typeof taken === 'object' && taken !== null ? taken.port : 0;
    const ends = [
      { port: socket.address().port, words: 'ss -ulpn' },
      { port: tcpPort, words: 'ss -tlpn' },
    ].map(async ({ port, words }) => {
      const options = ['--listen-cluster', `${address}:${port}`, '--listen-node', `${address}:0`];
      const program = start(path, ...options, '--metrics', `${address}:0`, '--cluster-dns', 'embedded');
      equal(await program.exit, 2);
      const complaints = program.stderr.trim().split('\n');
      equal(complaints.length, 1, program.stderr);
      match(
        complaints[0] ?? '',
        new RegExp(`^localdns: cannot listen on 127.0.0.1 port ${port} .*${words} sport = :${port}`),
      );
    });
    await Promise.all(ends);
    socket.close();
    server.close();
  });

  test('serves on while its control worker crashes, starts it again, and does not end for a file that is bad by then', async () => {
    const [one, two] = await Promise.all(['192.0.2.1', '192.0.2.2'].map(upstreamWith));
    if (one === undefined || two === undefined) throw new Error('no upstream');
    const path = profileFile(profile(one.endpoint));
    const args = ['--profile', path, ...anyPorts, '--cluster-dns', 'embedded'];
    const program = new Program(process.execPath, [join(root, 'cli/crashing-agent.fake.ts'), ...args]);
    programs.push(program);
    const loop = new OpenLoop(await program.port());
    await eventually('answers', editMs, () => loop.data.has('192.0.2.1'));

    writeFileSync(path, 'not: a profile');
    await program.said('the profile is refused; the old one keeps serving', editMs);
    writeFileSync(join(path, '../crash'), '');
    await eventually('the new worker complains', startMs, () => {
      match(program.stderr, new RegExp(`^localdns: ${path}: `, 'm'));
      return true;
    });
    match(program.stderr, /the control worker failed: Error: a bug in the control worker/);

    writeFileSync(path, profile(two.endpoint));
    await eventually('the new worker follows the file', startMs, () => {
      ok(loop.data.has('192.0.2.2'), program.stderr);
      return true;
    });
    await loop.end();
    program.signal('SIGTERM');
    equal(await program.exit, 0);
  });
});

test('an agent with few descriptors refuses what would take the last of them, and does all else meanwhile', async () => {
  const silent = await new SocketUpstream(() => {}).open();
  after(() => silent.close());
  const path = profileFile(profile(silent.endpoint, ', maxConcurrent: 0'));
  const limited = ['-c', 'ulimit -n 256; exec "$0" "$@"', join(root, 'bin/localdns'), 'agent', '--profile', path];
  const program = new Program('sh', [...limited, ...anyPorts, '--cluster-dns', 'embedded']);
  programs.push(program);
  const port = await program.port();
  const { url } = (await program.said('metrics and health')) as unknown as { url: string };
  // Over TCP, where no answer gets lost.
  const socket = connect({ host: address, port });
  const rcodes: string[] = [];
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      rcodes.push(readMessage(received.subarray(2, end)).rcode);
      received = received.subarray(end);
    }
  });
  for (let number = 0; number < 600; number += 1) {
    const query = buildQuery({ name: `n${number}.example`, id: number });
    socket.write(Buffer.concat([Buffer.of(query.length >> 8, query.length & 0xff), query]));
  }
  // 128 sockets may be open, and a query to one server may take three.
  await eventually('refusals', startMs, () => rcodes.length >= 300);
  equal((await ask(port, 'kubernetes.default.svc.cluster.local', true)).rcode, 'NOERROR');
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const [, refused = '0'] =
    /^localdns_out_of_sockets_total\{listener="cluster",zone="\."\} (\d+)$/m.exec(metrics) ?? [];
  ok(Number(refused) >= 300, `${refused} refused`);
  await eventually('every answer', startMs, () => rcodes.length === 600);
  socket.destroy();
  deepEqual([...new Set(rcodes)].sort(), ['REFUSED', 'SERVFAIL']);
  const failed = rcodes.filter((rcode) => rcode === 'SERVFAIL').length;
  ok(failed >= 30, `${failed} are asked about`);
  silent.respond = (query) => query.answer({ answers: [`${query.question.name} 60 A 192.0.2.1`] });
  await eventually('an answer', startMs, async () => (await ask(port, 'after.example')).rcode === 'NOERROR');
  deepEqual(
    program.lines.filter(({ msg }) => /threw|mistake|cannot be served/.test(msg)),
    [],
  );
});

suite('an agent that would ask itself', () => {
  const loop = (listener: string, at: string) =>
    `the ${listener} listener of this agent is at ${at}, which is a loop: name the real resolver`;

  test('ends with 2 at the start, and says which server is which listener', async () => {
    const { port } = await upstreamWith('192.0.2.1');
    const path = profileFile(profile(`${address}:${port}`));
    const listen = ['--no-datapath', '--metrics', `${address}:0`, '--listen-cluster'];
    for (const at of [`${address}:${port}`, `0.0.0.0:${port}`]) {
      const program = start(path, ...listen, at, '--cluster-dns', 'embedded');
      equal(await program.exit, 2);
      equal(program.stderr, `localdns: ${path}: spec.upstreams[0].servers[0]: ${loop('cluster', at)}\n`);
    }
    const option = ['--cluster-dns', '127.0.0.1:1054,[::ffff:127.0.0.1]:1053'];
    const usual = start(path, '--no-datapath', '--metrics', `${address}:0`, ...option);
    equal(await usual.exit, 2);
    deepEqual(usual.stderr.trim().split('\n'), [
      `localdns: --cluster-dns 127.0.0.1:1054: ${loop('node', '127.0.0.1:1054')}`,
      `localdns: --cluster-dns [::ffff:127.0.0.1]:1053: ${loop('cluster', '127.0.0.1:1053')}`,
    ]);
  });

  test('refuses such an edit, also where the system has given the port, and the old profile keeps serving', async () => {
    const upstream = await upstreamWith('192.0.2.1');
    const path = profileFile(profile(upstream.endpoint));
    const program = start(path, ...anyPorts, '--cluster-dns', 'embedded');
    const port = await program.port('node');
    writeFileSync(path, profile(`${address}:${port}`));
    const refusal = await program.said('the profile is refused; the old one keeps serving', editMs);
    deepEqual(refusal.errors, [`${path}: spec.upstreams[0].servers[0]: ${loop('node', `${address}:${port}`)}`]);
    equal((await ask(port, 'www.example')).origin, 'forwarded');
  });

  test('says so where a server forwards to it, which no address shows', async () => {
    const upstream = await upstreamWith('192.0.2.1');
    const relay = createSocket('udp4');
    const program = start(profileFile(profile(upstream.endpoint)), ...anyPorts, '--cluster-dns', 'embedded');
    const port = await program.port();
    upstream.respond = ({ bytes }) => relay.send(bytes, port, address);
    const { level } = await program.said(
      'a query of the agent to its upstream servers came back to it: something that it forwards to forwards to it; look at what those servers forward to',
    );
    relay.close();
    equal(level, 'error');
    const { url } = (await program.said('metrics and health')) as unknown as { url: string };
    const metrics = await (await fetch(`${url}/metrics`)).text();
    match(metrics, /^localdns_loops_total\{listener="cluster"\} [1-9]/m);
  });
});

suite('an agent that keeps its cache', () => {
  const keeping = (stateDir: string) => ['--state-dir', stateDir, ...anyPorts, '--cluster-dns', 'embedded'];
  const startKeeping = (path: string, stateDir: string) => start(path, ...keeping(stateDir));
  /** Saves all the time. */
  function startSaving(path: string, stateDir: string): Program {
    const args = ['--profile', path, ...keeping(stateDir)];
    const program = new Program(process.execPath, [join(root, 'cli/saving-agent.fake.ts'), ...args]);
    programs.push(program);
    return program;
  }
  const scene = async (ttl = 60, more = '') => {
    const stateDir = mkdtempSync(join(folder.path, 'state-'));
    const upstream = await upstreamWith('192.0.2.1', ttl);
    return { stateDir, upstream, path: profileFile(profile(upstream.endpoint) + more) };
  };
  const snapshot = 'cache.snapshot';

  test('answers the first query after a restart from it', async () => {
    const { stateDir, upstream, path } = await scene();
    const before = startKeeping(path, stateDir);
    equal((await ask(await before.port(), 'www.example')).origin, 'forwarded');
    const stopping = performance.now();
    before.signal('SIGTERM');
    equal(await before.exit, 0);
    ok(performance.now() - stopping < 5_000);
    deepEqual(readdirSync(stateDir), [snapshot]);

    await upstream.close();
    const next = startKeeping(path, stateDir);
    const { rcode, origin, answers } = await ask(await next.port(), 'www.example');
    deepEqual([rcode, origin], ['NOERROR', 'cache']);
    match(answers[0] ?? '', /^www\.example (60|[45]\d) A 192\.0\.2\.1$/);
    equal(questions(upstream), 1);
    const { source, answers: restored } = await next.said('cache restored');
    deepEqual([source, restored], ['disk', 1]);
    const { url } = (await next.said('metrics and health')) as unknown as { url: string };
    const metrics = await (await fetch(`${url}/metrics`)).text();
    match(metrics, /^localdns_cache_restored_total\{source="disk"\} 1$/m);
    match(metrics, /^localdns_cache_restored_total\{source="peer"\} 0$/m);
  });

  test('has what it saved at its last interval where it is killed', async () => {
    const { stateDir, upstream, path } = await scene();
    const before = startSaving(path, stateDir);
    equal((await ask(await before.port(), 'www.example')).origin, 'forwarded');
    await eventually('a snapshot', startMs, () => readdirSync(stateDir).includes(snapshot));
    before.signal('SIGKILL');
    await before.exit;
    await upstream.close();
    const next = startKeeping(path, stateDir);
    const { rcode, origin } = await ask(await next.port(), 'www.example');
    deepEqual([rcode, origin], ['NOERROR', 'cache']);
    equal((await next.said('cache restored')).source, 'disk');
  });

  test('serves it stale too, once its TTL has passed and its servers are gone', async () => {
    const { stateDir, upstream, path } = await scene(1);
    const before = startKeeping(path, stateDir);
    equal((await ask(await before.port(), 'www.example')).origin, 'forwarded');
    before.signal('SIGTERM');
    equal(await before.exit, 0);
    await upstream.close();
    const port = await startKeeping(path, stateDir).port();
    const { rcode, answers } = await eventually('a stale answer', startMs, async () => {
      const answer = await ask(port, 'www.example');
      return answer.origin === 'stale' && answer;
    });
    equal(rcode, 'NOERROR');
    match(answers[0] ?? '', / A 192\.0\.2\.1$/);
  });

  test('starts without a snapshot that is damaged or none of ours, and says so', async () => {
    const { stateDir, upstream, path } = await scene();
    writeFileSync(join(stateDir, snapshot), 'something else');
    const program = startKeeping(path, stateDir);
    equal((await ask(await program.port(), 'www.example')).origin, 'forwarded');
    const { level, source, error } = await program.said('cache snapshot not used');
    deepEqual([level, source, error], ['warn', 'disk', 'it is no snapshot, or damaged']);
    equal(questions(upstream), 1);
  });

  test('keeps nothing where the profile says so, and removes what was kept; without a folder it keeps nothing either', async () => {
    const { stateDir, path } = await scene(60, '  cache: { warmRestart: false }\n');
    writeFileSync(join(stateDir, snapshot), 'something else');
    const program = startKeeping(path, stateDir);
    equal((await ask(await program.port(), 'www.example')).origin, 'forwarded');
    await eventually('it is gone', startMs, () => readdirSync(stateDir).length === 0);
    program.signal('SIGTERM');
    equal(await program.exit, 0);
    deepEqual(readdirSync(stateDir), []);
    equal(program.lines.filter(({ level }) => level !== 'info').length, 0);
  });

  test('gives it to the agent that starts beside it; one that is killed leaves nothing in the way', async () => {
    const { stateDir, upstream, path } = await scene();
    // An agent that serves takes the path soon after it has said so.
    const owned = async (by: string, notBy?: number) =>
      eventually(`the hand-over socket of ${by}`, startMs, () => {
        const { ino } = statSync(join(stateDir, 'hand-over.sock'));
        return ino !== notBy && ino;
      });
    const before = startKeeping(path, stateDir);
    equal((await ask(await before.port(), 'www.example')).origin, 'forwarded');
    const first = await owned('the first agent');
    const beside = startKeeping(path, stateDir);
    equal((await ask(await beside.port(), 'www.example')).origin, 'cache');
    equal((await beside.said('cache restored')).source, 'peer');
    await owned('the second agent', first);

    before.signal('SIGTERM');
    equal(await before.exit, 0);
    beside.signal('SIGKILL');
    await beside.exit;
    deepEqual(readdirSync(stateDir), ['hand-over.sock']);
    const cold = startKeeping(path, stateDir);
    equal((await ask(await cold.port(), 'www.example')).origin, 'forwarded');
    equal(questions(upstream), 2);
    deepEqual(
      cold.lines.filter(({ level }) => level !== 'info'),
      [],
    );
  });
});
