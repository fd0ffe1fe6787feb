/**
 * How long clients waited for servers, counted in places that are a quarter of an octave wide, so that any share of the waits is
 * known within 25 %. Answers out of the cache have no place here: they take some microseconds, and how many there are is what is
 * left of all answers. So a cached answer costs no look at the clock.
 */

/** Waits below 64 µs share the first place; those above 4 s, longer than any query is waited for, the last. */
const firstOctave = 6;
const octaves = 16;
/** Of an octave. */
export const placesPerOctave = 4;
const lastPlace = octaves * placesPerOctave + 1;
export const waitPlaces = lastPlace + 1;

export function waitPlace(ms: number): number {
  const micros = ms * 1000;
  if (micros < 2 ** firstOctave) return 0;
  if (micros >= 2 ** (firstOctave + octaves)) return lastPlace;
  const octave = 31 - Math.clz32(micros);
  return 1 + (octave - firstOctave) * placesPerOctave + ((micros >> (octave - 2)) & 3);
}

/** Waits in a place are shorter than that; the last has no end. */
export function waitBoundMicros(place: number): number {
  if (place === lastPlace) return Number.POSITIVE_INFINITY;
  const octave = firstOctave + Math.floor(place / placesPerOctave);
  return 2 ** octave * (1 + (place % placesPerOctave) / placesPerOctave);
}
