/** unbound as Debian has it: as the upstream server that knows the zones of a test, and as the forwarder to compare with. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../tools/find.ts';
import type { RunFolder } from '../tools/run-folder.ts';
import { freePort, Program } from './program.ts';

/** What has no influence on answers; and RFC 9715's size, which is the agent's too. */
const common = [
  'do-daemonize: no',
  'username: ""',
  'chroot: ""',
  'pidfile: ""',
  'use-syslog: no',
  'interface: 127.0.0.1',
  'do-ip6: no',
  'num-threads: 1',
  'incoming-num-tcp: 200',
  'outgoing-num-tcp: 50',
  'edns-buffer-size: 1232',
  'max-udp-size: 1232',
  // Who asks without RD is answered as everybody is.
  'access-control: 127.0.0.0/8 allow_snoop',
  'module-config: "iterator"',
  'do-not-query-localhost: no',
  'unblock-lan-zones: yes',
  'insecure-lan-zones: yes',
  'rrset-roundrobin: no',
  'minimal-responses: no',
  'nsid: "ascii_peer"',
  'edns-tcp-keepalive: yes',
];

async function start(
  folder: RunFolder,
  name: string,
  server: readonly string[],
  clauses: readonly string[],
  asks: string,
) {
  const command = findProgram('unbound');
  if (command === undefined) throw new Error('there is no unbound');
  const port = await freePort();
  const lines = [...common, `port: ${port}`, `directory: "${folder.path}"`, ...server].map((line) => `  ${line}`);
  const path = join(folder.path, `${name}.conf`);
  writeFileSync(path, ['server:', ...lines, 'remote-control:', '  control-enable: no', ...clauses, ''].join('\n'));
  return Program.start(folder, { name, command, args: ['-d', '-c', path], port, asks });
}

/** Knows these zones, and follows delegations and aliases among them; nothing else exists, and nothing leaves the machine. */
export function startAuthority(
  folder: RunFolder,
  zones: Readonly<Record<string, string>>,
  server: readonly string[] = [],
) {
  const clauses = Object.entries(zones).flatMap(([zone, text], number) => {
    const path = join(folder.path, `zone-${number}`);
    writeFileSync(path, text);
    return [
      'auth-zone:',
      `  name: "${zone}"`,
      `  zonefile: "${path}"`,
      '  for-upstream: yes',
      '  for-downstream: no',
      '  fallback-enabled: no',
    ];
  });
  return start(folder, 'authority', server, clauses, Object.keys(zones)[0] ?? '.');
}

/** Forwards everything to `port`, and caches it. */
export function startForwarder(folder: RunFolder, port: number, server: readonly string[] = []) {
  return start(folder, 'unbound', server, ['forward-zone:', '  name: "."', `  forward-addr: 127.0.0.1@${port}`], '.');
}
