import { maxNameLength } from './name.ts';

/** What belongs to a domain and all names below it, by whole labels. */
export class Suffixes<Value> {
  readonly #values: ReadonlyMap<string, Value>;
  /** By length, a bit for the first letter of each name that has it: to look for a part of a name in a map costs more than all else here. */
  readonly #letters = new Int32Array(maxNameLength + 1);

  /** @param values by name in canonical wire form */
  constructor(values: ReadonlyMap<string, Value>) {
    this.#values = values;
    for (const name of values.keys()) this.#letters[name.length] = this.#lettersOf(name.length) | letterOf(name, 0);
  }

  /** The first that `pick` finds something in, the longest suffix first. @param name canonical wire form */
  find<Found>(name: string, pick: (value: Value) => Found | undefined): Found | undefined {
    if (this.#values.size === 0) return undefined;
    for (let at = 0; ; at += name.charCodeAt(at) + 1) {
      if ((this.#lettersOf(name.length - at) & letterOf(name, at)) !== 0) {
        const value = this.#values.get(at === 0 ? name : name.slice(at));
        const found = value === undefined ? undefined : pick(value);
        if (found !== undefined) return found;
      }
      if (name.charCodeAt(at) === 0) return undefined;
    }
  }

  #lettersOf(length: number): number {
    return this.#letters[length] as number;
  }

  longest(name: string): Value | undefined {
    return this.find(name, itself);
  }
}

/** Of the label that begins there; of the root, which has none, any. */
function letterOf(name: string, at: number): number {
  return 1 << (name.charCodeAt(at + 1) & 31);
}

function itself<Value>(value: Value): Value {
  return value;
}
