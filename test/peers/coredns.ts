/** CoreDNS as clusters have it: as the upstream server, and as a forwarder beside the agent. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toolPath } from '../tools/find.ts';
import type { RunFolder } from '../tools/run-folder.ts';
import { freePort, Program } from './program.ts';

/** @param body what a Corefile says of the zone `.` */
export async function startCoreDns(
  folder: RunFolder,
  name: string,
  body: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const port = await freePort();
  const path = join(folder.path, `${name}.Corefile`);
  writeFileSync(path, [`.:${port} {`, '  bind 127.0.0.1', ...body.map((line) => `  ${line}`), '}', ''].join('\n'));
  return Program.start(folder, { name, command: toolPath('coredns'), args: ['-conf', path], env, port });
}

/** Every name has one address. */
export function startEveryName(folder: RunFolder): Promise<Program> {
  return startCoreDns(folder, 'upstream', ['template IN A {', '  answer "{{ .Name }} 3600 IN A 192.0.2.1"', '}']);
}
