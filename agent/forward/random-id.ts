import { randomFillSync } from 'node:crypto';

const drawn = new Uint16Array(4_096);
let left = 0;

/** Of a query: unpredictable, and each of the 65,536 as likely as any other (RFC 5452 §9.2). Drawn by the thousand. */
export function randomId(): number {
  if (left === 0) {
    randomFillSync(drawn);
    left = drawn.length;
  }
  left -= 1;
  return drawn[left] as number;
}
