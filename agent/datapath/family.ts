import { isIPv6 } from 'node:net';

/** IPv4 or IPv6. */
export type Family = 4 | 6;

export const families: readonly Family[] = [4, 6];

/** Their names in nftables. */
export const nftFamily = { 4: 'ip', 6: 'ip6' } as const;

export function familyOf(address: string): Family {
  return isIPv6(address) ? 6 : 4;
}
