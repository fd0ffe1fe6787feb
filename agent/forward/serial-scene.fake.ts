import { FakeClock } from '../../test/fake/clock.ts';
import { buildQuery } from '../../test/fake/message.ts';
import { SerialServer, type ServerHabits } from '../../test/fake/serial-server.ts';
import { TcpPools } from './tcp-pool.ts';
import { promised } from './transport.ts';

export const timeoutMs = 2_000;
export const roundTripMs = 1;

export interface AskingHabits {
  client?: string;
  mayRepeat?: () => boolean;
  forMs?: number;
}

/** Connections in virtual time to one server, and what came of the queries. */
export function scene(habits: ServerHabits) {
  const clock = new FakeClock();
  const server = new SerialServer(clock, habits);
  const pools = new TcpPools(clock, server.outgoing(roundTripMs));
  const elapsed = new Map<string, number>();
  const ask = async (name: string, { client, mayRepeat, forMs = timeoutMs }: AskingHabits = {}) => {
    const startedAtMs = clock.nowMs();
    const message = buildQuery({ name, id: 0 });
    await promised((asker) => pools.ask({ address: '192.0.2.1', port: 53 }, message, forMs, asker), client, mayRepeat);
    elapsed.set(name, clock.nowMs() - startedAtMs);
  };
  const asked = (name: string) => server.received.filter((query) => query.name === name).length;
  return { clock, server, ask, asked, elapsed };
}

export const isSlow = (name: string) => name.startsWith('slow');
export const names = (stem: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${stem}${index}.example`);
