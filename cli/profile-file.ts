import type { LocalDnsProfile, ProfileSpec } from '../api/v1alpha1/profile.ts';
import { settleParts } from '../api/v1alpha1/profile-parts.ts';
import { type FieldError, formatFieldError, parseProfile } from '../api/v1alpha1/profile-validation.ts';
import { parseDocument, readText } from './manifest.ts';

/** A profile from a file, or why there is none, each line whole for a person to read: `FILE: field: message`. */
export type ProfileFile =
  | { profile: LocalDnsProfile }
  /** The file is there and is no valid profile: every reason. */
  | { invalid: string[] }
  /** The system denies the file. */
  | { unreadable: string };

/** `-` reads standard input. Never rejects. */
export async function readProfileFile(path: string): Promise<ProfileFile> {
  const label = fileLabel(path);
  const read = await readText(path);
  if ('unreadable' in read) return { unreadable: `${label}: ${read.unreadable}` };
  const parsed = parseProfileText(label, read.text);
  return 'profile' in parsed ? parsed : { invalid: parsed.errors };
}

export function parseProfileText(label: string, text: string): { profile: LocalDnsProfile } | { errors: string[] } {
  return parseDocument(label, text, (value) => {
    const parsed = parseProfile(value);
    if ('profile' in parsed) return parsed;
    const { spec } = (value ?? {}) as { spec?: ProfileSpec };
    return { errors: [...parsed.errors, ...brokenParts(spec ?? {})].map(formatFieldError) };
  });
}

/**
 * What the API server takes and the operator does not. Which Services there are is not known here. Of a spec that the schema
 * refuses, too, as far as it can be read: a person wants every error at once.
 */
export function brokenParts(spec: ProfileSpec): readonly FieldError[] {
  try {
    const settled = settleParts({ ...spec, mode: 'Preferred' }, () => ({ kind: 'addresses', addresses: [] }));
    return settled.kind === 'settled' ? settled.leftOut : [];
  } catch {
    return [];
  }
}

export function fileLabel(path: string): string {
  return path === '-' ? 'standard input' : path;
}
