/** Writes crds/ and the chart's copies from the schemas (`npm run crds`); tests fail when they drift. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { crdFiles } from './crds.ts';

for (const folder of ['crds', 'charts/localdns/files/crds']) {
  const url = new URL(`../${folder}/`, import.meta.url);
  mkdirSync(url, { recursive: true });
  for (const [name, text] of crdFiles()) {
    writeFileSync(new URL(name, url), text);
    console.log(`${folder}/${name}`);
  }
}
