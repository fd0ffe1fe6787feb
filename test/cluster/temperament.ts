/** How the nodes of a large cluster misbehave, settled by their number: so that every run is the same, and everybody knows it. */

export type Temperament = 'steady' | 'slow' | 'lying' | 'flapping' | 'dead' | 'away';

export const servedPool = { pool: 'served' };

export function nodeName(number: number): string {
  return `node-${`${number}`.padStart(5, '0')}`;
}

/** Of a hundred nodes 90 are steady; each kind of misbehaviour is among the first hundred. */
export function temperamentOf(number: number): Temperament {
  switch ((number * 37) % 100) {
    case 11:
    case 12:
    case 13:
      return 'slow';
    case 23:
    case 24:
      return 'lying';
    case 35:
    case 36:
      return 'flapping';
    case 47:
      return 'dead';
    case 58:
    case 59:
      return 'away';
    default:
      return 'steady';
  }
}

/** The machine is gone, and its kubelet with it. */
export function isAway(number: number): boolean {
  return temperamentOf(number) === 'away';
}

/** How many of the first so many nodes can be served. */
export function servable(nodes: number): number {
  let found = 0;
  for (let number = 0; number < nodes; number += 1) {
    const temperament = temperamentOf(number);
    found += Number(temperament !== 'dead' && temperament !== 'away');
  }
  return found;
}
