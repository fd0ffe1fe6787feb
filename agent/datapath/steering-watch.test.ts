import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { SteeringWatch } from './steering-watch.ts';

const beating = { udp: true, tcp: true, overtaken: false };
const silent = { ...beating, tcp: false };

test('one address that is silent over one transport is led here again', () => {
  equal(new SteeringWatch().observe([beating, beating], 0), false);
  equal(new SteeringWatch().observe([beating, silent], 0), true);
  equal(new SteeringWatch().observe([{ ...beating, udp: false }], 0), true);
});

test('what an agent that started later answers is its own', () => {
  equal(new SteeringWatch().observe([beating, { ...silent, overtaken: true }], 0), false);
  equal(new SteeringWatch().observe([{ ...silent, overtaken: true }, silent], 0), true);
});

test('where that does not help, it is tried every five seconds', () => {
  const watch = new SteeringWatch();
  const tried = [0, 500, 4_999, 5_000, 9_999, 10_000].filter((nowMs) => watch.observe([silent], nowMs));
  equal(tried.join(), '0,5000,10000');
});
