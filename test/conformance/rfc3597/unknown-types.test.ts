/** RFC 3597 §3: records of unknown type are treated "as unstructured binary data", stored and transmitted "without change". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeAgent } from '../../fake/agent.ts';
import { query, questionName, record, reply } from '../../fake/octets.ts';

const unknownType = 65_400;
/** Looks like a pointer, a label and OPT, and is none of them. */
const data = Buffer.from('c00cff0329002900ffff00', 'hex');

test('an unknown type of an unknown class passes octet by octet, forwarded and cached', async () => {
  const agent = new FakeAgent();
  const rr = record(questionName, unknownType, 60, data, 4711);
  agent.upstream.answer = ({ bytes }) => reply(bytes, { answers: [rr] });
  const packet = query('a', { type: unknownType, class: 4711 });
  for (const what of ['forwarded', 'cached']) {
    const octets = await agent.octets(packet);
    assert.deepEqual(octets.subarray(packet.length), rr, what);
  }
  assert.equal(agent.upstream.queries.length, 1);
});
