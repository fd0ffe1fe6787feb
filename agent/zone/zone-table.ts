import { nameFromText } from '../wire/name.ts';
import { Suffixes } from '../wire/suffixes.ts';

const rootName = nameFromText('.');

/** Zones by name; a name belongs to the zone with the longest matching suffix, by whole labels. */
export class ZoneTable<Zone> {
  readonly #zones: Suffixes<Zone>;
  readonly #root: Zone;

  /** @param zones by presentation name; the root zone `.` must be among them */
  constructor(zones: Iterable<readonly [string, Zone]>) {
    const byName = new Map([...zones].map(([name, zone]) => [nameFromText(name), zone]));
    const root = byName.get(rootName);
    if (root === undefined) throw new Error('a zone table needs the root zone');
    this.#root = root;
    // Most names are its own: they need not be looked for.
    byName.delete(rootName);
    this.#zones = new Suffixes(byName);
  }

  /** @param name canonical wire form */
  match(name: string): Zone {
    return this.#zones.longest(name) ?? this.#root;
  }
}
