/**
 * `npm run bundle [-- FOLDER]`: dist/localdns.js, the programs and the packages they import as few files. What the image ships.
 *
 * Code that one program needs and another does not stays in a file of its own (splitting), so that the agent's serving
 * thread never loads what only the operator or the control thread imports. Needs no install script of esbuild.
 */
import { cpSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';
import type { Software } from './software-list.ts';

const root = resolve(import.meta.dirname, '..');
const dist = resolve(process.argv[2] ?? join(root, 'dist'));

/** Loaded from node_modules at run time where it is there: a native addon cannot be part of a text file. */
const external = ['koffi'];

/** CommonJS packages expect these; an ES module has to make them. */
const commonJs = `import { createRequire as localdnsRequire } from 'node:module';
import { dirname as localdnsDirname } from 'node:path';
const require = localdnsRequire(import.meta.url);
const __filename = import.meta.filename, __dirname = localdnsDirname(__filename);`;

const workerUrl = /new URL\((['"])([^'"]+\.ts)\1,\s*import\.meta\.url\)/g;

/** Sources that other sources start as threads of their own. */
function workerEntries(): string[] {
  const files = globSync('{agent,operator,cli,kube}/**/*.ts', { cwd: root }).filter(
    (path) => !/\.(test|fake)\.ts$/.test(path),
  );
  return files.flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    return [...text.matchAll(workerUrl)].map(([, , specifier = '']) => join(dirname(path), specifier));
  });
}

/** `agent/control.ts` → `agent-control`: all files lie side by side in dist/, so a thread is found from any of them. */
function entryName(path: string): string {
  return path.replace(/\.ts$/, '').replaceAll('/', '-');
}

/** package.json, as sources in folders of the root find it: in the bundle it lies beside them. */
const manifestUrl = /new URL\((['"])\.\.\/package\.json\1,\s*import\.meta\.url\)/g;

/** What a source finds by its own place in the tree is found by its place in the bundle. */
const places: Plugin = {
  name: 'places',
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/, namespace: 'file' }, ({ path }) => {
      if (path.includes('/node_modules/')) return undefined;
      const text = readFileSync(path, 'utf8');
      const contents = text
        .replace(manifestUrl, (_, quote: string) => `new URL(${quote}./package.json${quote}, import.meta.url)`)
        .replace(workerUrl, (_, quote: string, specifier: string) => {
          const entry = entryName(relative(root, join(dirname(path), specifier)));
          return `new URL(${quote}./${entry}.js${quote}, import.meta.url)`;
        });
      return contents === text ? undefined : { contents, loader: 'ts' };
    });
  },
};

const anImport = /\bimport\s*(\w+\b)?\s*,?\s*(?:\{([^{}]*)\}|\*\s*as\s+(\w+))?\s*from\s*["']([\w:/]+)["']/g;

/**
 * An import of a built-in module reads all that the module exports, and some of that is made when it is read: with the WebSocket of
 * node:http comes all of undici, in a tenth of the agent's start. So the bundle asks for the module, and reads what it uses.
 */
function readingWhatIsUsed(text: string): string {
  return text.replace(anImport, (statement, whole = '', names = '', all = '', from = '') => {
    if (!isBuiltin(from)) return statement;
    const bound = [whole, names && `{${names.replace(/\s+as\s+/g, ':')}}`, all].filter((binding) => binding !== '');
    return bound.map((binding) => `const ${binding}=process.getBuiltinModule("${from}")`).join(';');
  });
}

/** What zod says is always said in English; the other languages are a third of it. */
const english: Plugin = {
  name: 'english',
  setup(bundler) {
    bundler.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: `export { default as en } from './en.js';`,
    }));
  },
};

async function main(): Promise<void> {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  const program = await write({ localdns: 'cli/main.ts' });
  // By themselves: what threads share with the program would be files of their own, and each takes a millisecond at their start.
  const threads = await write(Object.fromEntries(workerEntries().map((path) => [entryName(path), path])));
  const metafile = {
    inputs: { ...program.inputs, ...threads.inputs },
    outputs: { ...program.outputs, ...threads.outputs },
  };
  const packages = bundledPackages(metafile);
  const shipped = [...packages, ...addons()];
  writeFileSync(join(dist, 'LICENSES.txt'), licences(shipped));
  writeFileSync(join(dist, 'software.json'), `${JSON.stringify(shipped.map(softwareOf), null, 1)}\n`);
  // The folder is a program of its own: nothing above it decides that these files are ES modules.
  writeFileSync(join(dist, 'package.json'), `${JSON.stringify({ name: 'localdns', version, type: 'module' })}\n`);
  report(metafile, packages);
}

/** @returns what went into which file */
async function write(entryPoints: Record<string, string>): Promise<Metafile> {
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: dist,
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    banner: { js: commonJs },
    external,
    plugins: [places, english],
    // Names stay, for stack traces that a person can read.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'inline',
    metafile: true,
    write: false,
    logLevel: 'warning',
  });
  for (const { path, text } of outputFiles) writeFileSync(path, readingWhatIsUsed(text));
  return metafile;
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

function bundledPackages(metafile: Metafile): string[] {
  const names = Object.keys(metafile.inputs).flatMap(
    (path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [],
  );
  return [...new Set(names)].sort();
}

/**
 * Copies what stays outside of the bundle, so that the folder is whole: of koffi what runs, and what there is of it for this
 * machine. Returns the packages' folders.
 */
function addons(): string[] {
  const modules = join(root, 'node_modules');
  const natives = globSync('@koromix/koffi-*', { cwd: modules });
  const folders = [...external, ...natives];
  for (const folder of folders) {
    const files = globSync('**/{package.json,index.js,*.cjs,LICENSE*,linux_*/*.node}', { cwd: join(modules, folder) });
    for (const file of files.filter((path) => !/^(doc|vendor)\//.test(path))) {
      cpSync(join(modules, folder, file), join(dist, 'node_modules', folder, file));
    }
  }
  return folders.map((folder) => join('node_modules', folder));
}

interface Manifest {
  name: string;
  version: string;
  license?: string;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest;
}

function softwareOf(folder: string): Software {
  const { name, version, license } = manifestOf(folder);
  return { kind: 'npm', name, version, license };
}

/** What the licences of the bundled packages ask for: that their text comes along. */
function licences(packages: string[]): string {
  return packages
    .map((folder) => {
      const { name, version, license } = manifestOf(folder);
      const files = readdirSync(join(root, folder)).filter((file) => /^(licen[cs]e|notice)/i.test(file));
      const texts = files.map((file) => readFileSync(join(root, folder, file), 'utf8').trim());
      return [`${name} ${version}: ${license ?? 'see below'}`, ...texts].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`);
}

/** What each program and each thread loads before its first line runs. */
function report(metafile: Metafile, packages: string[]): void {
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(0).padStart(6)} KiB`;
  const programs = Object.entries(metafile.outputs).filter(([, { entryPoint }]) =>
    /^(cli|agent)\//.test(entryPoint ?? ''),
  );
  for (const [path, { entryPoint }] of programs.sort(([, a], [, b]) =>
    (a.entryPoint ?? '').localeCompare(b.entryPoint ?? ''),
  )) {
    console.log(`${kib(staticSize(metafile, path))}  ${entryPoint}`);
  }
  const total = Object.values(metafile.outputs).reduce((sum, { bytes }) => sum + bytes, 0);
  console.log(
    `${kib(total)}  all ${Object.keys(metafile.outputs).length} files, from ${packages.length} packages and our own`,
  );
}

function staticSize(metafile: Metafile, output: string, seen = new Set<string>()): number {
  const file = metafile.outputs[output];
  if (file === undefined || seen.has(output)) return 0;
  seen.add(output);
  const imports = file.imports.filter(({ kind, external }) => kind === 'import-statement' && !external);
  return imports.reduce((sum, { path }) => sum + staticSize(metafile, path, seen), file.bytes);
}

await main();
