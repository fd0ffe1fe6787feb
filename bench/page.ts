/** A page of results is written from samples that are kept beside it, so that it can be written anew without another run. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export class ResultsPage<Samples> {
  readonly #name: string;
  readonly #report: (taken: Samples) => string;

  /** @param name of the bench: the page is `results-NAME.md` */
  constructor(name: string, report: (taken: Samples) => string) {
    this.#name = name;
    this.#report = report;
  }

  /** Keeps the samples, and writes the page from what was kept. */
  write(taken: Samples): void {
    const path = join(import.meta.dirname, `samples/${this.#name}/samples.json`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${JSON.stringify(taken)}\n`);
    const kept = JSON.parse(readFileSync(path, 'utf8')) as Samples;
    writeFileSync(join(import.meta.dirname, `results-${this.#name}.md`), this.#report(kept));
  }
}
