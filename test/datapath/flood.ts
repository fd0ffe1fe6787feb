/**
 * Runs inside a pod's namespace: sends small packets as fast as one thread can, on demand. Each line on stdin is a number of
 * packets; each line on stdout the nanoseconds that one of them took, of the thread's own time and by the clock. The kernel
 * forwards and delivers a packet before its sender goes on, so the sender's time is that of the whole way.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { isLibc, loadLibc, SystemCallError } from '../../agent/libc.ts';

const payload = Buffer.alloc(32);
const [address = '', port = ''] = process.argv.slice(2);
const libc = loadLibc();
if (!isLibc(libc)) throw new Error(libc.reason);
const { send } = libc;

const socket = createSocket('udp4');
socket.connect(Number(port), address);
await once(socket, 'connect');
// Node's own way of sending costs several times what the network does, and it does not give the descriptor away.
const state = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol');
const { fd } = (socket as unknown as Record<symbol, { handle: { fd: number } }>)[state as symbol]?.handle ?? { fd: -1 };

function flood(count: number): void {
  for (let sent = 0; sent < count; ) {
    try {
      send(fd, payload);
      sent++;
    } catch (error) {
      // The socket's buffer is full for the moment.
      if (!(error instanceof SystemCallError) || error.code !== 'EAGAIN') throw error;
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const count = Number(line);
  const startedAt = process.hrtime.bigint();
  const before = process.threadCpuUsage();
  flood(count);
  const { user, system } = process.threadCpuUsage(before);
  const elapsed = Number(process.hrtime.bigint() - startedAt);
  console.log(JSON.stringify({ cpu: ((user + system) * 1000) / count, wall: elapsed / count }));
}
