/**
 * Manifests from files: the one door to yaml. Read as kubectl reads them: YAML 1.1, where an unquoted on, off, yes or no is
 * a boolean, but dates and 1:30 stay strings; JSON is YAML too. Stricter in one thing: a key may stand once only.
 */
import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { isAlias, parseAllDocuments, stringify, type Tags } from 'yaml';

/** More than an API server takes (1.5 MiB with etcd's default), so that nothing real is cut, and no accident is read. */
const maxBytes = 2 * 1024 * 1024;

/** What a text holds, or why that is no single document: one line, with line and column where there is a place. */
export type Manifest = { value: unknown } | { error: string };

/** Exactly one document is expected; empty ones, such as what stands before a leading `---`, do not count. */
export function parseManifest(text: string): Manifest {
  if (Buffer.byteLength(text) > maxBytes) return { error: `is larger than ${maxBytes / 1024 / 1024} MiB` };
  try {
    const documents = parseAllDocuments(text, { version: '1.1', customTags: asKubectlResolves, prettyErrors: true });
    for (const { errors } of documents) {
      const [error] = errors;
      if (error === undefined) continue;
      const [at] = error.linePos ?? [];
      // The rest of the library's message draws the place.
      const [message = ''] = error.message.split('\n');
      return {
        error: `${at === undefined ? '' : `${at.line}:${at.col}: `}${message.replace(/ at line \d+, column \d+:$/, '')}`,
      };
    }
    const full = documents.filter(
      ({ contents }) => contents !== null && (isAlias(contents) || contents.range?.[0] !== contents.range?.[1]),
    );
    const [document] = full;
    if (document === undefined) return { error: 'is empty: one document is expected' };
    if (full.length > 1) return { error: `holds ${full.length} documents: one is expected` };
    const value: unknown = document.toJS();
    // An anchor can hold an alias of itself: nothing that JSON can say.
    JSON.stringify(value);
    return { value };
  } catch (error) {
    // The stack has an end, aliases of aliases have the library's bound.
    return { error: `cannot be read: ${(error as Error).message.split('\n')[0]}` };
  }
}

/** The text of a file, or why the system denies it; `-` reads standard input. Never rejects. */
export async function readText(path: string): Promise<{ text: string } | { unreadable: string }> {
  try {
    return { text: path === '-' ? await readAll(process.stdin) : await readFile(path, 'utf8') };
  } catch (error) {
    return { unreadable: reasonOf(error as NodeJS.ErrnoException) };
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EISDIR':
      return 'is a folder: a file is expected';
    case 'EACCES':
      return 'may not be read: permission denied';
    default:
      return `cannot be read: ${message}`;
  }
}

/** As parseManifest reads it back: a string that looks like something else is quoted. */
export function formatManifest(value: unknown): string {
  return stringify(value, { version: '1.1', aliasDuplicateObjects: false, lineWidth: 0 });
}

/** kubectl's reader has none of these of YAML 1.1: what looks like one is a string to it, or refused. */
function asKubectlResolves(tags: Tags): Tags {
  const absent = ['timestamp', 'binary', 'omap', 'pairs', 'set'].map((name) => `tag:yaml.org,2002:${name}`);
  return tags.filter((tag) => typeof tag === 'string' || (!absent.includes(tag.tag) && tag.format !== 'TIME'));
}

/**
 * What `parse` makes of the one document in a file's text, or every complaint, each a whole line for a person to read:
 * `FILE: field: message`. Line and column follow the file's name as compilers write them, so that editors find the place.
 */
export function parseDocument<T extends object>(
  label: string,
  text: string,
  parse: (value: unknown) => T | { errors: string[] },
): T | { errors: string[] } {
  const manifest = parseManifest(text);
  if ('error' in manifest) return { errors: [`${label}:${/^\d/.test(manifest.error) ? '' : ' '}${manifest.error}`] };
  const parsed = parse(manifest.value);
  return 'errors' in parsed ? { errors: parsed.errors.map((error) => `${label}: ${error}`) } : parsed;
}
