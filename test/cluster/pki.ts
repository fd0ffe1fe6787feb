import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const validDays = '2';

/** Paths of a certificate and its private key, in PEM. */
export interface Credential {
  certificate: string;
  key: string;
}

/**
 * The certificates of one test cluster: a certificate authority, and what it issues. Node can read X.509 but not issue
 * it, so `openssl` does.
 */
export class Pki {
  readonly ca: Credential;
  /** The key pair by which the API server signs and checks ServiceAccount tokens. */
  readonly tokenKey: string;
  readonly tokenPublicKey: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.ca = this.#credential('ca');
    this.tokenKey = join(folder, 'token.key');
    this.tokenPublicKey = join(folder, 'token.pub');
  }

  static async create(folder: string): Promise<Pki> {
    const pki = new Pki(folder);
    const { ca, tokenKey, tokenPublicKey } = pki;
    await Promise.all([
      openssl('req', '-x509', ...newKey(ca), '-subj', '/CN=localdns-test-ca', '-days', validDays),
      openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', tokenKey),
    ]);
    writeFileSync(tokenPublicKey, await openssl('ec', '-in', tokenKey, '-pubout'));
    return pki;
  }

  /** A server that is reached by these addresses and names. */
  server(name: string, addresses: readonly string[], names: readonly string[]): Promise<Credential> {
    const alternatives = [...addresses.map((address) => `IP:${address}`), ...names.map((host) => `DNS:${host}`)];
    return this.#issue(name, `/CN=${name}`, [`subjectAltName=${alternatives}`, 'extendedKeyUsage=serverAuth']);
  }

  /** A client, whom the API server knows by the subject: CN is the user, each O a group. */
  client(name: string, subject: string): Promise<Credential> {
    return this.#issue(name, subject, ['extendedKeyUsage=clientAuth']);
  }

  async #issue(name: string, subject: string, extensions: string[]): Promise<Credential> {
    const issued = this.#credential(name);
    const { certificate, key } = this.ca;
    const added = extensions.flatMap((extension) => ['-addext', extension]);
    const issuer = ['-CA', certificate, '-CAkey', key];
    await openssl('req', '-x509', ...issuer, ...newKey(issued), '-subj', subject, '-days', validDays, ...added);
    return issued;
  }

  #credential(name: string): Credential {
    return { certificate: join(this.#folder, `${name}.crt`), key: join(this.#folder, `${name}.key`) };
  }
}

function newKey({ certificate, key }: Credential): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-keyout', key, '-out', certificate];
}

async function openssl(...args: string[]): Promise<string> {
  const { stdout } = await run('openssl', args, { timeout: 20_000 });
  return stdout;
}
