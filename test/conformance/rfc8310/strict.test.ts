/**
 * RFC 8310 §5: with the strict profile a client that cannot authenticate its server has no service, and never falls back to clear
 * text (RFC 7858 §4.2). The handshake itself is tried where connections are made: agent/forward/tls.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { a, ednsQuery, questionName, reply } from '../../fake/octets.ts';

const tls = { serverName: 'dns.corp.example', caBundle: '' };
const upstreams = [{ name: 'onprem', servers: ['192.0.2.1:853'], tls }];

for (const protocol of ['PreferUDP', 'PreferTCP', 'ForceTCP'] as const) {
  test(`an upstream with tls is asked over TLS alone with ${protocol}, and where that fails nobody is`, async () => {
    const agent = new FakeAgent({ upstreams, root: { protocol, forwardDestination: 'onprem' } });
    agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [a(questionName, 60, '192.0.2.7')] });
    assert.equal((await agent.answer(ednsQuery('a'))).answers.length, 1);
    agent.upstream.answer = ({ fail }) => {
      fail();
      return undefined;
    };
    const asked = agent.ask(ednsQuery('b'));
    await agent.clock.advance(2_000);
    assert.equal((asked.answer?.readUInt16BE(2) ?? 0) & 0xf, 2);
    assert.ok(agent.upstream.queries.every((sent) => sent.overTcp && sent.tls?.serverName === tls.serverName));
  });
}
