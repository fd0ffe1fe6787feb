import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { streamDecode, streamEncode } from 'dns-packet';
import { Authority } from './authority.ts';
import { DnsClient } from './dns-client.ts';

test('the authority answers the client of the benches, and counts each name once', async () => {
  const authority = await Authority.start();
  const client = new DnsClient(Number(authority.address.split(':')[1]));
  try {
    const names = Array.from({ length: 500 }, (_, at) => `n${at}.bench.example`);
    await client.askAll(names, 64);
    assert.equal(authority.asked, names.length);
  } finally {
    client.close();
    authority.stop();
  }
});

test('over TCP it answers queries that share a segment, and one that is cut in two', { timeout: 10_000 }, async () => {
  const authority = await Authority.start();
  const socket = createConnection(Number(authority.address.split(':')[1]), '127.0.0.1').setNoDelay();
  try {
    const queries = ['a.example', 'b.example', 'c.example'].map((name, id) =>
      streamEncode({ type: 'query', id, questions: [{ name, type: 'A' }] }),
    );
    const bytes = Buffer.concat(queries);
    const cut = bytes.length - 5;
    socket.write(bytes.subarray(0, cut));
    let held = Buffer.alloc(0);
    const ids: (number | undefined)[] = [];
    for await (const chunk of socket) {
      held = Buffer.concat([held, chunk]);
      while (held.length > 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const size = 2 + held.readUInt16BE(0);
        ids.push(streamDecode(held.subarray(0, size))?.id);
        held = held.subarray(size);
      }
      // The rest of the third is sent only once the first two are answered.
      if (ids.length === 2) socket.write(bytes.subarray(cut));
      if (ids.length === 3) break;
    }
    assert.deepEqual(ids, [0, 1, 2]);
  } finally {
    socket.destroy();
    authority.stop();
  }
});
