import type { Credential } from './pki.ts';

/** The text of a kubeconfig; JSON is YAML. */
export function kubeconfig(server: string, ca: string, user: { token: string } | Credential): string {
  const credentials =
    'token' in user ? { token: user.token } : { 'client-certificate': user.certificate, 'client-key': user.key };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': ca } }],
    users: [{ name: 'test', user: credentials }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  });
}
