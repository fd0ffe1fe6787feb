/** Certificates in PEM (RFC 7468 §5), as they stand in a profile. */
import { X509Certificate } from 'node:crypto';

export const notABundle =
  'caBundle holds certificates in PEM, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, at least one';

/** Whether there is one, and each can be read: what cannot be read would be found out by the first query, which then fails. */
export function isCaBundle(text: string): boolean {
  const begun = text.match(/-----BEGIN CERTIFICATE-----/g) ?? [];
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.length > 0 && blocks.length === begun.length && blocks.every(isCertificate);
}

function isCertificate(block: string): boolean {
  try {
    new X509Certificate(block);
    return true;
  } catch {
    return false;
  }
}
