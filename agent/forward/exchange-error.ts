/** `192.0.2.1:53` or `[2001:db8::1]:53`, in parts. */
export interface ServerAddress {
  address: string;
  port: number;
}

/** No usable reply; the caller tries elsewhere. */
export class ExchangeError extends Error {
  readonly code: 'TIMEOUT' | 'NETWORK';

  constructor(code: 'TIMEOUT' | 'NETWORK', message: string) {
    super(message);
    this.code = code;
  }
}
