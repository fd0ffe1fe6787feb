import { nameFromText } from '../wire/name.ts';

/** Zones by name; a name belongs to the zone with the longest matching suffix, by whole labels. */
export class ZoneTable<Zone> {
  readonly #zones = new Map<string, Zone>();
  readonly #root: Zone;

  /** @param zones by presentation name; the root zone `.` must be among them */
  constructor(zones: Iterable<readonly [string, Zone]>) {
    for (const [name, zone] of zones) this.#zones.set(nameFromText(name), zone);
    const root = this.#zones.get(nameFromText('.'));
    if (root === undefined) throw new Error('a zone table needs the root zone');
    this.#root = root;
  }

  /** @param name canonical wire form; labels are tried from the left */
  match(name: string): Zone {
    for (let at = 0; name.charCodeAt(at) > 0; at += name.charCodeAt(at) + 1) {
      const zone = this.#zones.get(at === 0 ? name : name.slice(at));
      if (zone !== undefined) return zone;
    }
    return this.#root;
  }

  values(): Iterable<Zone> {
    return this.#zones.values();
  }
}
