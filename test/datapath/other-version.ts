import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { formatVersion } from '../../agent/cache/snapshot.ts';
import { HandOverSocket } from '../../agent/hand-over.ts';

const frameHeaderLength = 8;
/** In the first frame: behind its kind and the magic words. */
const versionAt = frameHeaderLength + 1 + 'localdns cache snapshot\n'.length;

/** In the place of a living agent, gives successors that one's cache as another version of it would write it. */
export class OtherVersion {
  readonly #server: Server;
  /** How many agents have asked for it. */
  asked = 0;

  private constructor(snapshot: Buffer) {
    this.#server = createServer((socket) => {
      this.asked++;
      socket.on('error', () => undefined).end(snapshot);
    });
  }

  static async insteadOf(stateDir: string): Promise<OtherVersion> {
    const socket = new HandOverSocket(stateDir);
    const peer = socket.connect();
    if (peer === undefined) throw new Error(`${socket.path} cannot be a socket's path`);
    const snapshot = await buffer(peer);
    if (snapshot.readUInt16BE(versionAt) !== formatVersion) throw new Error('the version is not where it was');
    snapshot.writeUInt16BE(formatVersion + 1, versionAt);
    const end = frameHeaderLength + snapshot.readUInt32BE(0);
    snapshot.writeUInt32BE(crc32(snapshot.subarray(frameHeaderLength, end)), 4);
    const other = new OtherVersion(snapshot);
    const beside = `${socket.path}.other`;
    await once(other.#server.listen(beside), 'listening');
    renameSync(beside, socket.path);
    return other;
  }

  close(): void {
    this.#server.close();
  }
}
