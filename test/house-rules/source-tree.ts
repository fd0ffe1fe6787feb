import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface SourceFile {
  /** Below the repository's root, with `/`. */
  path: string;
  text: string;
}

/** A rule that a file breaks, in words that say what to do about it. */
export interface Offence {
  path: string;
  message: string;
}

const root = resolve(import.meta.dirname, '../..');

/** What is not ours or not kept: .gitignore says the same. Git itself is not asked, a machine may have none. */
const foreign = ['node_modules', '.git', 'dist'];

/** Files below the repository's root; those not yet committed too, so that a mistake shows before it is. */
export function sourceFiles(...patterns: string[]): SourceFile[] {
  const found = globSync(patterns, {
    cwd: root,
    withFileTypes: true,
    exclude: (entry) => foreign.includes(entry.name),
  });
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({ path: path.slice(root.length + 1).replaceAll('\\', '/'), text: readFileSync(path, 'utf8') }));
}

export function sourceFile(path: string): SourceFile {
  return { path, text: readFileSync(join(root, path), 'utf8') };
}

/** Tests and what only tests import. */
export function isTest(path: string): boolean {
  return /\.(test|fake)\.ts$/.test(path) || path.startsWith('test/') || path.startsWith('bench/');
}

/** One line an offence: what a failing test shows. */
export function told(offences: Offence[]): string[] {
  return offences.map(({ path, message }) => `${path}: ${message}`);
}
