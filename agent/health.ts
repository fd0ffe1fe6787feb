/** Metrics and health over HTTP, served by the control worker. */
import { createServer, type Server } from 'node:http';
import { formatEndpoint } from '../api/v1alpha1/address.ts';
import { type ListenAddress, ListenError } from './listen/listener.ts';

export interface HealthSources {
  /** Prometheus text and its content type. */
  metrics: () => Promise<{ text: string; contentType: string }>;
  /** Resolves to undefined while the serving thread answers, else to a sentence. */
  alive: () => Promise<string | undefined>;
  /** Undefined while every listener answers, else a sentence. */
  ready: () => string | undefined;
}

/**
 * Resolves with the URL; rejects with a {@link ListenError}.
 * @param shared lets the agent that takes over listen beside the one that is about to end
 */
export function serveHealth(
  at: ListenAddress,
  sources: HealthSources,
  shared: boolean,
): Promise<{ url: string; close: () => void }> {
  const server: Server = createServer(async (request, response) => {
    try {
      const path = (request.url ?? '').split('?')[0];
      if (path === '/metrics') {
        const { text, contentType } = await sources.metrics();
        response.writeHead(200, { 'content-type': contentType }).end(text);
        return;
      }
      if (path !== '/healthz' && path !== '/readyz') {
        response.writeHead(404).end('try /metrics, /healthz or /readyz\n');
        return;
      }
      const complaint = path === '/healthz' ? await sources.alive() : sources.ready();
      response.writeHead(complaint === undefined ? 200 : 503, { 'content-type': 'text/plain' });
      response.end(complaint === undefined ? 'ok\n' : `${complaint}\n`);
    } catch (error) {
      response.writeHead(500).end(`${(error as Error).message}\n`);
    }
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new ListenError(at, 'TCP', error)));
    server.listen({ host: at.address, port: at.port, reusePort: shared }, () => {
      server.removeAllListeners('error');
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : at.port;
      resolve({ url: `http://${formatEndpoint({ address: at.address, port })}`, close: () => server.close() });
    });
  });
}
