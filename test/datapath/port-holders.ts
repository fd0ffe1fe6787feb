/** Programs that hold port 53 and say so once they do; as text, for a Node inside a network namespace. */
import { resolve } from 'node:path';

export function listening(protocol: 'udp' | 'tcp', address: string): string {
  return protocol === 'udp'
    ? `require('dgram').createSocket('udp4').bind(53, '${address}', () => console.log('open'))`
    : `require('net').createServer().listen(53, '${address}', () => console.log('open'))`;
}

/** As an agent does that serves. */
export function listeningAsAgent(...addresses: string[]): string {
  const sockets = resolve(import.meta.dirname, '../../agent/listen/sockets.ts');
  return `
    const { openSocket } = require('${sockets}');
    const servers = ${JSON.stringify(addresses)}.map((address) => {
      const at = { address, port: 53, transparent: true };
      openSocket(at, 'UDP');
      return new Promise((open) => require('net').createServer().listen({ fd: openSocket(at, 'TCP') }, open));
    });
    Promise.all(servers).then(() => console.log('open'));`;
}
