/**
 * DNS over TLS (RFC 7858) in the strict profile of RFC 8310 §5: the server proves its name, or nothing is asked. A later
 * connection resumes the session of an earlier one (RFC 8446 §2.2), which saves a round trip and most of the CPU.
 */
import { isIP, type Socket } from 'node:net';
import { type Certificate, checkServerIdentity, connect, type TLSSocket } from 'node:tls';
import type { TlsIdentity } from './exchange-error.ts';

/** Of one server. */
export class TlsSessions {
  #session: Buffer | undefined;

  /** @param plain connecting, or connected */
  secure(plain: Socket, { serverName, caBundle }: TlsIdentity): TLSSocket {
    const socket = connect({
      socket: plain,
      // RFC 6066 §3: a name alone may be sent as such, no address.
      servername: isIP(serverName) === 0 ? serverName : '',
      // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      rejectUnauthorized: true,
      // RFC 9525 §2: Node still takes a name in the subject where there is none among the alternatives; here none is seen.
      checkServerIdentity: (_, certificate) =>
        checkServerIdentity(serverName, { ...certificate, subject: {} as Certificate }),
      minVersion: 'TLSv1.2',
      ...(caBundle !== undefined && { ca: caBundle }),
      ...(this.#session !== undefined && { session: this.#session }),
    });
    socket.on('session', (session) => {
      this.#session = session;
    });
    return socket;
  }
}
