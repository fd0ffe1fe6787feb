/** What belongs to a domain and all names below it, by whole labels. */
export class Suffixes<Value> {
  readonly #values: ReadonlyMap<string, Value>;

  /** @param values by name in canonical wire form */
  constructor(values: ReadonlyMap<string, Value>) {
    this.#values = values;
  }

  /** The values of all suffixes of the name, the longest first. @param name canonical wire form */
  *of(name: string): Generator<Value, undefined> {
    if (this.#values.size === 0) return;
    for (let at = 0; ; at += name.charCodeAt(at) + 1) {
      const value = this.#values.get(at === 0 ? name : name.slice(at));
      if (value !== undefined) yield value;
      if (name.charCodeAt(at) === 0) return;
    }
  }

  longest(name: string): Value | undefined {
    return this.of(name).next().value;
  }
}
