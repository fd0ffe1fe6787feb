import { hasBatches, openBatched } from './batched.ts';
import { openDgram } from './dgram.ts';
import type { ListenAddress, Listener, ServePacket, TellMishap } from './listener.ts';

/** Opens a UDP socket, with datagrams in batches where this machine can; rejects with a {@link ListenError}. */
export function openUdp(at: ListenAddress, serve: ServePacket, tell?: TellMishap): Promise<Listener> {
  return hasBatches() ? openBatched(at, serve, tell) : openDgram(at, serve, tell);
}
