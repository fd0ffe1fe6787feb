import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { eventually } from '../tools/eventually.ts';
import type { ControlPlane } from './control-plane.ts';
import type { ProxyOrders, ProxyTally } from './fault-proxy.ts';

const root = resolve(import.meta.dirname, '../..');
const port = 7443;

/** A way to the API server that fails as it is told to. */
export class FaultyPath {
  /** For whoever shall go this way. */
  readonly kubeconfig: string;
  readonly #cluster: ControlPlane;

  private constructor(cluster: ControlPlane, kubeconfig: string) {
    this.#cluster = cluster;
    this.kubeconfig = kubeconfig;
  }

  /** @param straight the kubeconfig of whoever shall go this way */
  static async start(cluster: ControlPlane, straight: string): Promise<FaultyPath> {
    const config = JSON.parse(readFileSync(straight, 'utf8')) as {
      clusters: [{ cluster: { server: string; 'certificate-authority': string } }];
    };
    const [{ cluster: apiServer }] = config.clusters;
    const args = [`${port}`, apiServer.server, apiServer['certificate-authority']];
    const proxy = cluster.startDaemon({
      name: 'fault-proxy',
      command: join(root, 'bin/node'),
      args: [join(import.meta.dirname, 'fault-proxy.ts'), ...args],
    });
    await eventually('the proxy listens', 10_000, () => {
      proxy.assertRunning();
      return proxy.log.includes('listening');
    });
    apiServer.server = `http://127.0.0.1:${port}`;
    const path = join(cluster.folder.path, 'faulty.kubeconfig');
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return new FaultyPath(cluster, path);
  }

  /** From now on it fails in this way alone; counting begins anew. */
  async order(orders: ProxyOrders = {}): Promise<void> {
    await this.#ask('POST', orders);
  }

  /** Since the last order. */
  tally(): Promise<ProxyTally> {
    return this.#ask('GET');
  }

  async #ask(method: string, orders?: ProxyOrders): Promise<ProxyTally> {
    const body = orders === undefined ? {} : { body: JSON.stringify(orders) };
    const page = await this.#cluster.namespace.page({ url: `http://127.0.0.1:${port}/proxy/`, method, ...body });
    return JSON.parse(page.body) as ProxyTally;
  }
}
