/**
 * Runs inside a pod's namespace: asks addresses `CH TXT id.server` at a steady pace, over UDP from many ports and over a new
 * TCP connection each time, and keeps account of who answered. One call a message; its answer carries the same number.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6 } from 'node:net';
import { identityQuery } from '../../agent/self-query.ts';

export interface Account {
  /** Answers by who gave them. */
  answered: Record<string, number>;
  /** What became of the others, by address and transport. */
  lost: Record<string, number>;
}

const udpEveryMs = 2;
const tcpEveryMs = 10;
const ports = 32;
/** Longer than anything here may take that is not lost. */
const patienceMs = 2_000;

const duties = {
  async burst({ address, count }: { address: string; count: number }): Promise<void> {
    const socket = await udpSocket(address);
    for (let id = 0; id < count; id += 1) socket.send(withId(id));
  },
  async start(addresses: string[]): Promise<void> {
    for (const address of addresses) {
      const sockets = await Promise.all(Array.from({ length: ports }, () => udpSocket(address)));
      let sent = 0;
      everyMs(udpEveryMs, () => {
        sent += 1;
        sockets[sent % ports]?.send(withId(sent & 0xffff));
      });
      everyMs(tcpEveryMs, () => askOverTcp(address));
    }
  },
  /** What has been answered and lost since the last account, once nothing is awaited any more. */
  async stop(): Promise<Account> {
    for (const timer of timers.splice(0)) clearInterval(timer);
    const endsAtMs = performance.now() + patienceMs;
    while (awaited.size > 0 && performance.now() < endsAtMs) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const key of awaited.values()) count(account.lost, `${key}: silence`);
    awaited.clear();
    const told = account;
    account = { answered: {}, lost: {} };
    return told;
  },
  async soFar(): Promise<Account> {
    return account;
  },
};

export type ClientDuties = typeof duties;

let account: Account = { answered: {}, lost: {} };
let number = 0;
const awaited = new Map<string, string>();
const timers: NodeJS.Timeout[] = [];

function everyMs(periodMs: number, act: () => void): void {
  const startedAtMs = performance.now();
  let done = 0;
  // A late timer makes up for it: the pace is steady, whatever this process is doing.
  timers.push(
    setInterval(() => {
      for (const due = (performance.now() - startedAtMs) / periodMs; done < due; done += 1) act();
    }, periodMs),
  );
}

function count(of: Record<string, number>, key: string): void {
  of[key] = (of[key] ?? 0) + 1;
}

function withId(id: number): Buffer {
  const query = identityQuery();
  query.writeUInt16BE(id, 0);
  return query;
}

function answerer(message: Buffer): string {
  // The text of the only record, `NAME/LISTENER`.
  return /([a-z0-9]+)\/node/.exec(message.toString('latin1'))?.[1] ?? `rcode ${message.readUInt16BE(2) & 0xf}`;
}

async function udpSocket(address: string) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.connect(53, address);
  await once(socket, 'connect');
  const own = `${address} UDP ${socket.address().port}`;
  socket.on('message', (message) => {
    if (awaited.delete(`${own} ${message.readUInt16BE(0)}`)) count(account.answered, answerer(message));
  });
  socket.on('error', (error) => count(account.lost, `${address} UDP: ${(error as NodeJS.ErrnoException).code}`));
  return {
    send: (query: Buffer) => {
      awaited.set(`${own} ${query.readUInt16BE(0)}`, `${address} UDP`);
      socket.send(query);
    },
  };
}

function askOverTcp(address: string): void {
  number += 1;
  const key = `${address} TCP ${number}`;
  awaited.set(key, `${address} TCP`);
  const query = identityQuery();
  const socket = connect({ host: address, port: 53, noDelay: true });
  socket.write(Buffer.concat([Buffer.of(0, query.length), query]));
  const end = (of: 'answered' | 'lost', how: string) => {
    if (awaited.delete(key)) count(account[of], how);
    socket.destroy();
  };
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length > 2 && received.length >= 2 + received.readUInt16BE(0))
      end('answered', answerer(received.subarray(2)));
  });
  socket.on('error', (error) => end('lost', `${address} TCP: ${(error as NodeJS.ErrnoException).code}`));
  socket.on('end', () => end('lost', `${address} TCP: closed without an answer`));
}

process.on('message', ({ number, duty, argument }: { number: number; duty: keyof ClientDuties; argument: never }) => {
  void (duties[duty](argument) as Promise<unknown>).then((result) => process.send?.({ number, result }));
});
process.on('disconnect', () => process.exit());
