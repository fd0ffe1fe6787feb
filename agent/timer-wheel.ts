/** Timers by the thousand, of which hardly one ever fires: each costs a small object here, where one of Node's costs a microsecond. */
import type { Timer } from './clock.ts';

/** Slots of a millisecond each. What is due later than the last one waits in its slot for the wheel to come round again. */
const slots = 4_096;
const wordBits = 32;

class WheelTimer implements Timer {
  readonly tick: number;
  callback: (() => void) | undefined;
  previous: WheelTimer | undefined;
  next: WheelTimer | undefined;
  readonly #wheel: TimerWheel;

  constructor(wheel: TimerWheel, tick: number, callback: () => void) {
    this.#wheel = wheel;
    this.tick = tick;
    this.callback = callback;
  }

  cancel(): void {
    if (this.callback !== undefined) this.#wheel.remove(this);
  }
}

/** One of Node's timers, which keeps no process alive. */
function nodeTimer(delayMs: number, callback: () => void): Timer {
  const timer = setTimeout(callback, delayMs);
  timer.unref();
  return { cancel: () => clearTimeout(timer) };
}

/** Woken later than this, the process stood still: what it waited for may have come long ago. */
const stoodStillMs = 100;

/**
 * Fires as Node's timers do: never early, in the order of time, and of those of one millisecond the oldest first. After a pause of the
 * process what has arrived is read before anything is due.
 */
export class TimerWheel {
  readonly #nowMs: () => number;
  readonly #wakeAfter: typeof nodeTimer;
  readonly #afterReading: (callback: () => void) => void;
  readonly #first: (WheelTimer | undefined)[] = new Array(slots).fill(undefined);
  readonly #last: (WheelTimer | undefined)[] = new Array(slots).fill(undefined);
  /** One bit for each slot that is not empty. */
  readonly #occupied = new Int32Array(slots / wordBits);
  #count = 0;
  /** All of these slots and those before have been gone through. */
  #doneTick: number;
  /** What is set from now on is due after this one. */
  #setAfterTick: number;
  #wakeTick = Number.POSITIVE_INFINITY;
  #wake: Timer | undefined;

  /**
   * @param wakeAfter calls once, never early
   * @param afterReading calls once the sockets have been looked at
   */
  constructor(nowMs: () => number, wakeAfter = nodeTimer, afterReading: (callback: () => void) => void = setImmediate) {
    this.#nowMs = nowMs;
    this.#wakeAfter = wakeAfter;
    this.#afterReading = afterReading;
    this.#doneTick = Math.floor(nowMs());
    this.#setAfterTick = this.#doneTick;
  }

  after(delayMs: number, callback: () => void): Timer {
    const nowMs = this.#nowMs();
    // With nothing in it the wheel has stood still.
    if (this.#count === 0) this.#doneTick = Math.floor(nowMs) - 1;
    const tick = Math.max(this.#setAfterTick + 1, Math.ceil(nowMs + Math.max(0, delayMs)));
    const timer = new WheelTimer(this, tick, callback);
    const slot = tick % slots;
    const last = this.#last[slot];
    if (last === undefined) {
      this.#first[slot] = timer;
      this.#occupied[slot >>> 5] = (this.#occupied[slot >>> 5] as number) | (1 << (slot & 31));
    } else {
      last.next = timer;
      timer.previous = last;
    }
    this.#last[slot] = timer;
    this.#count += 1;
    if (tick < this.#wakeTick) this.#wakeAt(tick, nowMs);
    return timer;
  }

  remove(timer: WheelTimer): void {
    timer.callback = undefined;
    this.#count -= 1;
    const slot = timer.tick % slots;
    const { previous, next } = timer;
    if (previous === undefined) this.#first[slot] = next;
    else previous.next = next;
    if (next === undefined) this.#last[slot] = previous;
    else next.previous = previous;
    // A timer that is old by now would keep those that were beside it alive.
    timer.previous = undefined;
    timer.next = undefined;
    if (this.#first[slot] === undefined) {
      this.#occupied[slot >>> 5] = (this.#occupied[slot >>> 5] as number) & ~(1 << (slot & 31));
    }
  }

  #wakeAt(tick: number, nowMs: number): void {
    this.#wake?.cancel();
    this.#wakeTick = tick;
    this.#wake = this.#wakeAfter(Math.max(1, Math.ceil(tick - nowMs)), () => this.#woken());
  }

  #woken(): void {
    if (this.#nowMs() - this.#wakeTick <= stoodStillMs) this.#turn();
    else this.#afterReading(() => this.#turn());
  }

  #turn(): void {
    this.#wakeTick = Number.POSITIVE_INFINITY;
    const nowTick = Math.floor(this.#nowMs());
    // After a long sleep each slot is looked at once: what is due in it is due.
    const from = Math.max(this.#doneTick + 1, nowTick - slots + 1);
    // What a callback sets is not due in the same turn.
    this.#setAfterTick = nowTick;
    try {
      for (let tick = from; tick <= nowTick; tick += 1) {
        if (this.#isOccupied(tick % slots)) this.#fire(tick % slots, nowTick);
        this.#doneTick = tick;
      }
    } finally {
      // A callback that throws ends this turn, and none of the other timers.
      this.#sleep();
    }
  }

  /** A callback may cancel and add others: each time the first that is due is looked for anew. */
  #fire(slot: number, nowTick: number): void {
    let timer = this.#first[slot];
    while (timer !== undefined) {
      const { callback, next, tick } = timer;
      if (tick > nowTick || callback === undefined) {
        timer = next;
        continue;
      }
      this.remove(timer);
      callback();
      timer = this.#first[slot];
    }
  }

  #sleep(): void {
    if (this.#count === 0) return;
    const nowMs = this.#nowMs();
    let tick = this.#doneTick + 1;
    for (let looked = 0; looked < slots && !this.#isOccupied(tick % slots); looked += 1) {
      // A word without any bit is passed over whole.
      const slot = tick % slots;
      const isWordEmpty = (slot & 31) === 0 && this.#occupied[slot >>> 5] === 0;
      const step = isWordEmpty ? wordBits : 1;
      tick += step;
      looked += step - 1;
    }
    if (tick < this.#wakeTick) this.#wakeAt(tick, nowMs);
  }

  #isOccupied(slot: number): boolean {
    return ((this.#occupied[slot >>> 5] as number) & (1 << (slot & 31))) !== 0;
  }
}
