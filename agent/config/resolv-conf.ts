/** The node's own resolvers, as resolv.conf(5) lists them: what VnetDNS means. */
import { readFile } from 'node:fs/promises';
import { dnsPort, formatEndpoint, parseEndpoint } from '../../api/v1alpha1/address.ts';
import { FileFollower } from './file-follower.ts';

export const standardPath = '/etc/resolv.conf';
/** systemd-resolved writes the servers that its stub asks here (systemd-resolved.service(8)). */
const resolvedPath = '/run/systemd/resolve/resolv.conf';
const stubAddresses = new Set(['127.0.0.53', '127.0.0.54']);

/** `ip:port` of each nameserver line, in order, each once. Scoped addresses (`fe80::1%eth0`) are passed over. */
export function parseResolvConf(text: string): string[] {
  const servers = text.split('\n').flatMap((line) => {
    const [keyword, address] = line.trim().split(/\s+/);
    const server = keyword === 'nameserver' && address !== undefined ? parseEndpoint(address, dnsPort) : undefined;
    return server === undefined || address?.includes('%') ? [] : [formatEndpoint(server)];
  });
  return [...new Set(servers)];
}

/** The file to follow where none was given: systemd-resolved's own list if resolv.conf names nothing but its stub. */
export async function resolvConfPath(standard = standardPath): Promise<string> {
  try {
    const servers = parseResolvConf(await readFile(standard, 'utf8'));
    const stubOnly =
      servers.length > 0 && servers.every((server) => stubAddresses.has(parseEndpoint(server)?.address ?? ''));
    return stubOnly ? resolvedPath : standard;
  } catch {
    return standard;
  }
}

/** Undefined where the file cannot be read. */
export async function resolversIn(path: string): Promise<string[] | undefined> {
  try {
    return parseResolvConf(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** @param path the file that is taken in place of the node's own */
export function standsIn(path: string): string {
  return `${path} stands in for it, as it is now: in a pod a copy of the node's from the pod's start`;
}

/**
 * Follows a resolv.conf. The list never becomes empty and never names the agent: an edit that leaves nothing usable keeps what
 * was known before.
 *
 * A node's file may be a link that leads where no mount of ours does. Until it can be read, another file stands in for it, as it was at the
 * start: in a pod its own, which kubelet has made of the node's and does not touch again.
 */
export class ResolvConf {
  readonly #follower: FileFollower;
  #servers: readonly string[] = [];
  readonly #instead: string;
  #copy: readonly string[] = [];

  /**
   * @param isOwn true for an address that the agent itself listens on
   * @param onServers called with each new list, and the file that it is of
   * @param onTrouble called with a sentence where a change leaves nothing usable
   */
  constructor(
    path: string,
    isOwn: (server: string) => boolean,
    onServers: (servers: readonly string[], path: string) => void,
    onTrouble: (sentence: string) => void,
    instead = standardPath,
  ) {
    this.#instead = instead;
    const use = (servers: readonly string[], of: string): void => {
      if (servers.join() === this.#servers.join()) return;
      this.#servers = servers;
      onServers(servers, of);
    };
    this.#follower = new FileFollower(path, (contents) => {
      if (contents === undefined) {
        const copy = this.#servers.length === 0 ? this.#copy.filter((server) => !isOwn(server)) : [];
        onTrouble(`${path} cannot be read${copy.length === 0 ? '' : `: until it can, ${standsIn(instead)}`}`);
        if (copy.length > 0) use(copy, instead);
        return;
      }
      const servers = parseResolvConf(contents).filter((server) => !isOwn(server));
      if (servers.length === 0) {
        onTrouble(`${path} names no resolver but the agent itself`);
        return;
      }
      use(servers, path);
    });
  }

  async start(): Promise<void> {
    this.#copy = (await resolversIn(this.#instead)) ?? [];
    await this.#follower.start();
  }

  stop(): void {
    this.#follower.stop();
  }
}
