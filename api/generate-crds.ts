/** Writes crds/ from the schemas (`npm run crds`); a test fails when they drift. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { crdFiles } from './crds.ts';

const folder = new URL('../crds/', import.meta.url);
mkdirSync(folder, { recursive: true });
for (const [name, text] of crdFiles()) {
  writeFileSync(new URL(name, folder), text);
  console.log(`crds/${name}`);
}
