import { rejects, throws } from 'node:assert/strict';
import { suite, test } from 'node:test';
import { play } from './player.ts';
import { parseScript } from './script.ts';

const opening = `
servers ClusterCoreDNS a
zone cluster .
client q1 asks www.example A
server a is asked www.example A udp
server a answers NOERROR
  www.example 60 A 192.0.2.1
`;
const answered = `${opening}
client q1 gets NOERROR forwarded
  www.example 60 A 192.0.2.1
`;

suite('the player of scenarios fails', () => {
  for (const place of ['memory', 'sockets'] as const) {
    const fails = (script: string, wanted: RegExp) => rejects(play(parseScript(script), place), wanted);

    test(`when a server is asked what the script does not say, in ${place}`, async () => {
      const asked = 'servers ClusterCoreDNS a\nzone cluster .\nclient q1 asks www.example A\n';
      await fails(asked, /at the end: server a was asked what the script does not say[\s\S]*www\.example A udp/);
      await fails(`${asked}wait 1s`, /line 4[\s\S]*before time passes: server a was asked/);
      await fails(`${asked}swap`, /before the swap: server a was asked/);
    });

    test(`when a client gets an answer that the script does not say, in ${place}`, () =>
      fails(opening, /at the end: client q1 got an answer that the script does not say/));

    test(`when a client that should wait has been answered, in ${place}`, () =>
      fails(`${opening}client q1 waits`, /line 8: client q1 waits\nit has been answered/));
  }

  const fails = (script: string, wanted: RegExp) => rejects(play(parseScript(script), 'memory'), wanted);

  test('when a server is not asked', async () => {
    await fails(
      `${answered}client q2 asks www.example A\nserver a is asked www.example A udp`,
      /server a was not asked/,
    );
    await fails(opening.replace('A udp', 'A tcp'), /server a was not asked/);
    await fails(opening.replace('asked www.', 'asked WWW.'), /server a was not asked/);
    await fails(opening.replace('A udp', 'A udp DO'), /DO/);
  });

  test('when there is no answer', () =>
    fails(answered.replace('server a answers NOERROR\n  www.example 60 A 192.0.2.1', ''), /client q1 has no answer/));

  test('when an answer differs in rcode, TTL, data, a further record, EDE, origin or a flag', async () => {
    for (const [from, to] of [
      ['gets NOERROR', 'gets NXDOMAIN'],
      ['forwarded\n  www.example 60', 'forwarded\n  www.example 59'],
      ['forwarded\n  www.example 60 A 192.0.2.1', 'forwarded\n  www.example 60 A 192.0.2.2'],
      ['forwarded\n  www.example 60 A 192.0.2.1', 'forwarded'],
      ['gets NOERROR forwarded', 'gets NOERROR forwarded EDE 3'],
      ['gets NOERROR forwarded', 'gets NOERROR cache'],
      ['gets NOERROR forwarded', 'gets NOERROR forwarded TC'],
      ['gets NOERROR forwarded', 'gets NOERROR'],
    ] as const) {
      await fails(answered.replace(from, to), /line 9/);
    }
  });

  test('when the dice are thrown more often than the script says', () =>
    fails(answered.replace('.', '. forwardPolicy=Random').replace('DNS a', 'DNS a b'), /dice/));

  test('when a sentence is not one of its language', () => {
    for (const sentence of [
      'client q1 sings',
      'server a sleeps',
      'wait long',
      'wait 3 minutes',
      'client q1 gets NOERROR sometimes',
      '  www.example 60 A 192.0.2.1',
    ]) {
      throws(() => parseScript(sentence), /line 1/);
    }
  });
});

test('a script that says everything passes', () => play(parseScript(answered), 'memory'));
