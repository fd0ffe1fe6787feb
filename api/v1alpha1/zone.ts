/**
 * True for the domain itself and what is below it, by whole labels: `notcluster.local` is not within `cluster.local`. Both in
 * lower case and without the dot of the root, which is written `.`.
 */
export function isWithin(name: string, domain: string): boolean {
  return domain === '.' || name === domain || name.endsWith(`.${domain}`);
}
