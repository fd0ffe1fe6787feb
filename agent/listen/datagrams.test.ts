import assert from 'node:assert/strict';
import { test } from 'node:test';
import { socketAddress } from '../libc.ts';
import { FakeKernel } from './datagram-kernel.fake.ts';
import { batchSize, Datagrams, type PeerShape, type Sender } from './datagrams.ts';

const ipv4: PeerShape = { name: 16, control: 0 };

function scene() {
  const kernel = new FakeKernel();
  const datagrams = new Datagrams(kernel);
  let lost = 0;
  const sender = (fd: number): Sender => ({ fd, shape: ipv4, unsent: () => (lost += 1) });
  const echo = (from: Sender, place: number) => {
    const packet = datagrams.packet(place);
    datagrams.send(from, place, packet, packet.length);
  };
  const texts = () => kernel.sent.map(({ text }) => text);
  return { kernel, datagrams, sender, echo, texts, lost: () => lost };
}

const from = (port: number) => socketAddress('192.0.2.7', port);

test('each answer goes to whom its query came from, in one call', () => {
  const { kernel, datagrams, sender, echo } = scene();
  kernel.incoming = [
    { from: from(1024), text: 'one' },
    { from: from(65535), text: 'a longer one' },
  ];
  const socket = sender(5);
  assert.equal(datagrams.receive(5, ipv4), 2);
  assert.deepEqual([datagrams.port(0), datagrams.port(1)], [1024, 65535]);
  const peer = datagrams.peer(0, ipv4);
  echo(socket, 1);
  assert.deepEqual(kernel.sent, []);
  // What is received meanwhile takes nobody's place.
  kernel.incoming = [{ from: from(7), text: 'next' }];
  datagrams.receive(5, ipv4);
  datagrams.send(socket, peer, Buffer.from('later, and not this'), 5);
  datagrams.flush();
  assert.deepEqual(kernel.sent, [
    { fd: 5, to: '192.0.2.7:65535', text: 'a longer one' },
    { fd: 5, to: '192.0.2.7:1024', text: 'later' },
  ]);
  datagrams.flush();
  assert.equal(kernel.sent.length, 2);
});

test('each packet is what came last at its place, whatever lengths came there and elsewhere before', () => {
  const { kernel, datagrams } = scene();
  for (const lengths of [
    [1, 2],
    [127, 128],
    [128, 127],
    [200, 1],
    [130, 72],
    [2, 1],
    [72, 2],
  ]) {
    const texts = lengths.map((length, place) => 'abcdefg'[(length + place) % 7]?.repeat(length) ?? '');
    kernel.incoming = texts.map((text) => ({ from: from(1024), text }));
    datagrams.receive(5, ipv4);
    assert.deepEqual(
      texts.map((_, place) => datagrams.packet(place).toString()),
      texts,
    );
  }
});

test('more than a batch, and answers of several sockets, leave in the order in which they were given', () => {
  const { kernel, datagrams, sender, texts } = scene();
  const [one, other] = [sender(5), sender(6)];
  kernel.incoming = [{ from: from(1024), text: '' }];
  datagrams.receive(5, ipv4);
  const all = Array.from({ length: batchSize + 3 }, (_, number) => `${number}`);
  for (const text of all) datagrams.send(one, 0, Buffer.from(text), text.length);
  assert.equal(kernel.sent.length, batchSize);
  datagrams.send(other, 0, Buffer.from('other'), 5);
  assert.equal(kernel.sent.length, all.length);
  datagrams.flush();
  assert.deepEqual(texts(), [...all, 'other']);
  assert.equal(kernel.sent.at(-1)?.fd, 6);
});

test('where the kernel takes only some, the rest is offered again; one that it refuses is lost alone', () => {
  const { kernel, datagrams, sender, echo, texts, lost } = scene();
  kernel.incoming = ['a', 'b', 'c', 'd', 'e'].map((text) => ({ from: from(1024), text }));
  datagrams.receive(5, ipv4);
  const socket = sender(5);
  for (const place of [0, 1, 2, 3, 4]) echo(socket, place);
  kernel.takes = [2, 0, 1];
  datagrams.flush();
  assert.deepEqual(texts(), ['a', 'b', 'd', 'e']);
  assert.equal(lost(), 1);
});

test('an answer is sent whole, however long it is and wherever its message lies', () => {
  const { kernel, datagrams, sender, texts } = scene();
  kernel.incoming = [{ from: from(1024), text: '' }];
  datagrams.receive(5, ipv4);
  const socket = sender(5);
  const letters = 'abcdefghijk'.repeat(300);
  const memory = Buffer.from(` ${letters}`);
  const expected: string[] = [];
  for (const message of [Buffer.from(letters), memory.subarray(1), memory.subarray(3)]) {
    for (const length of [1, 2, 3, 4, 5, 63, 64, 65, 511, 512, 513, 1_232, 3_000]) {
      datagrams.send(socket, 0, message, length);
      expected.push(message.toString('latin1', 0, length));
    }
  }
  datagrams.flush();
  assert.deepEqual(texts(), expected);
});

test('an answer that is too long for its place is lost, and no other with it', () => {
  const { kernel, datagrams, sender, texts, lost } = scene();
  kernel.incoming = [{ from: from(1024), text: '' }];
  datagrams.receive(5, ipv4);
  const socket = sender(5);
  datagrams.send(socket, 0, Buffer.alloc(5_000), 5_000);
  datagrams.send(socket, 0, Buffer.from('x'), 1);
  datagrams.flush();
  assert.deepEqual([texts(), lost()], [['x'], 1]);
});

test('of the address that was asked the interface is forgotten, unless the address is one of a link', () => {
  const { kernel, datagrams } = scene();
  const header = Buffer.alloc(16);
  const control = (...data: number[]) => Buffer.concat([header, Buffer.from(data)]);
  const words = (place: number, shape: PeerShape) =>
    Buffer.from(Uint32Array.from(datagrams.peer(place, shape)).buffer).subarray(shape.name + 16);
  kernel.incoming = [{ from: from(1), text: '', control: control(9, 0, 0, 0, 192, 0, 2, 1) }];
  const [any4, any6] = [{ name: 16, control: 32 } as const, { name: 28, control: 40 } as const];
  datagrams.receive(5, any4);
  assert.deepEqual([...words(0, any4).subarray(0, 8)], [0, 0, 0, 0, 192, 0, 2, 1]);
  const address = (first: number, second: number) => [first, second, ...Array(14).fill(1), 9, 0, 0, 0];
  kernel.incoming = [address(0x20, 1), address(0xfe, 0x80), address(0xfe, 0xbf), address(0xfe, 0xc0)].map((data) => ({
    ...{ from: socketAddress('2001:db8::1', 1), text: '', control: control(...data) },
  }));
  datagrams.receive(5, any6);
  assert.deepEqual(
    [0, 1, 2, 3].map((place) => words(place, any6)[16]),
    [0, 9, 9, 0],
  );
});
