import type { LocalDnsProfile } from '../api/v1alpha1/profile.ts';
import { formatFieldError, parseProfile } from '../api/v1alpha1/profile-validation.ts';
import { readManifest } from './manifest.ts';

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
  const manifest = await readManifest(path);
  if ('unreadable' in manifest) return { unreadable: `${label}: ${manifest.unreadable}` };
  // Line and column follow the file's name as compilers write them, so that editors find the place.
  if ('error' in manifest) {
    return { invalid: [`${label}:${/^\d/.test(manifest.error) ? '' : ' '}${manifest.error}`] };
  }
  const parsed = parseProfile(manifest.value);
  if ('profile' in parsed) return parsed;
  return { invalid: parsed.errors.map((error) => `${label}: ${formatFieldError(error)}`) };
}

export function fileLabel(path: string): string {
  return path === '-' ? 'standard input' : path;
}
