import { isV6Address } from '../../api/v1alpha1/address.ts';

/** IPv4 or IPv6. */
export type Family = 4 | 6;

export const families: readonly Family[] = [4, 6];

/** Their names in nftables. */
export const nftFamily = { 4: 'ip', 6: 'ip6' } as const;

export function familyOf(address: string): Family {
  return isV6Address(address) ? 6 : 4;
}
