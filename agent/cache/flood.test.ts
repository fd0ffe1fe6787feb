/** A flood of names that nobody asks for again, against names that everybody asks for: played with the cache alone, by rule. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { block, entryFor } from '../../test/fake/cache-entry.ts';
import { Random } from '../../test/fuzz/random.ts';
import { ResponseCache } from './response-cache.ts';

const ttlSeconds = 60;

/** Answers that the cache holds, and what is asked of it. */
const held = 2_000;
const popularNames = 1_000;
const floodFactor = 10;

/** All of one length, so that the cache holds as many of any kind. */
const key = (kind: string, number: number) => `${kind}-${number}`.padEnd(16, 'x');

class Play {
  readonly #random = new Random(1);
  readonly #block = block(new ResponseCache(held * entryFor(key('aa', 0)).size), 'aa');
  /** What stands at `p * length` of it is asked with the probability p: the n-th name n times less than the first (Zipf). */
  readonly #names: number[] = [];
  #flooded = 0;
  nowMs = 0;

  constructor() {
    for (let name = 0; name < popularNames; name += 1) {
      const share = Math.ceil(popularNames / (name + 1));
      for (let times = 0; times < share; times += 1) this.#names.push(name);
    }
  }

  /** True where the answer was there. */
  ask(key: string): boolean {
    if (this.#block.lookup(key) !== undefined) return true;
    this.#block.store(key, entryFor(key, this.nowMs, ttlSeconds));
    return false;
  }

  askPopular(): boolean {
    const name = this.#names[this.#random.below(this.#names.length)] as number;
    return this.ask(key('popular', name));
  }

  /** An NXDOMAIN is about the name: A is a miss, and the AAAA right behind it a hit. */
  flood(): void {
    const random = key('random', this.#flooded);
    this.#flooded += 1;
    this.ask(random);
    this.ask(random);
  }
}

test('popular names keep at least 95 % of their hits through a flood of ten times as many names as the cache holds', () => {
  const play = new Play();
  for (let times = 0; times < 20_000; times += 1) play.askPopular();
  let hits = 0;
  const queries = (held * floodFactor) / 4;
  for (let times = 0; times < queries; times += 1) {
    for (let random = 0; random < 4; random += 1) play.flood();
    if (play.askPopular()) hits += 1;
  }
  assert.ok(hits / queries >= 0.95, `${hits} of ${queries}`);
});

test('what has become popular meanwhile takes the room of what was popular until it ended, and is kept through a flood as well', () => {
  const play = new Play();
  for (let name = 0; name < held; name += 1) for (let use = 0; use < 3; use += 1) play.ask(key('old', name));
  play.nowMs = (ttlSeconds + 1) * 1000;
  // All of them in turn: more than the unprotected part holds.
  for (let use = 0; use < 3; use += 1) {
    for (let name = 0; name < popularNames; name += 1) play.ask(key('popular', name));
  }
  for (let random = 0; random < held * floodFactor; random += 1) play.flood();
  const kept = Array.from({ length: popularNames }, (_, name) => play.ask(key('popular', name))).filter(Boolean);
  assert.equal(kept.length, popularNames);
});

test('a name that is asked for while others are protected is kept once it has been used twice', () => {
  const play = new Play();
  for (let name = 0; name < held; name += 1) for (let use = 0; use < 3; use += 1) play.ask(key('old', name));
  for (let use = 0; use < 3; use += 1) play.ask(key('new', 0));
  for (let random = 0; random < held; random += 1) play.flood();
  assert.ok(play.ask(key('new', 0)));
});
