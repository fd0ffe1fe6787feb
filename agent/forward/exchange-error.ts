/** `192.0.2.1:53` or `[2001:db8::1]:53`, in parts. */
export interface ServerAddress {
  address: string;
  port: number;
  /** Asked over TLS, and nothing else. */
  tls?: TlsIdentity;
}

/** Whom a server must prove to be (RFC 8310 §5, the strict profile). */
export interface TlsIdentity {
  /** A domain name or an IP address that its certificate is for. */
  serverName: string;
  /** Certificates in PEM that are trusted, in place of those that Node brings. */
  caBundle?: string | undefined;
}

/** No usable reply; the caller tries elsewhere. */
export class ExchangeError extends Error {
  /** BUDGET: nothing was sent, for there would be too many queries. */
  readonly code: 'TIMEOUT' | 'NETWORK' | 'BUDGET';

  constructor(code: ExchangeError['code'], message: string) {
    super(message);
    this.code = code;
  }
}
