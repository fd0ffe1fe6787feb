import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Sent, SentQueries } from './sent-queries.ts';
import type { TcpQuery } from './tcp-query.ts';

const sentWith = (id: number, order: number) =>
  new Sent(id, { outOn: 0 } as TcpQuery, { leftAtMs: 0, messages: [], ids: [] }, order, false);

/** Ids of which some lead to the same place. */
const ids = [5, 5 + 64, 5 + 128, 6, 0xffff];

function filled(): { queries: SentQueries; all: Sent[] } {
  const queries = new SentQueries();
  const all = ids.map((id, order) => sentWith(id, order));
  for (const sent of all) queries.add(sent);
  return { queries, all };
}

const inOrder = (queries: SentQueries) => [...queries].map(({ id }) => id);

test('each is found by its id, and they stand in the order of sending', () => {
  const { queries, all } = filled();
  deepEqual(
    ids.map((id) => queries.get(id)),
    all,
  );
  equal(queries.get(5 + 192), undefined);
  deepEqual(inOrder(queries), ids);
  equal(queries.size, ids.length);
});

test('any may go, once, and the others are found and keep their order', () => {
  for (const gone of ids) {
    const { queries } = filled();
    const sent = queries.get(gone) as Sent;
    queries.delete(sent);
    queries.delete(sent);
    const left = ids.filter((id) => id !== gone);
    deepEqual(
      ids.map((id) => queries.get(id)?.id),
      ids.map((id) => (id === gone ? undefined : id)),
    );
    deepEqual(inOrder(queries), left);
    queries.add(sentWith(gone, ids.length));
    deepEqual(inOrder(queries), [...left, gone]);
    equal(queries.size, ids.length);
  }
});

test('the first one after an order is found, and one may go while they are looked at', () => {
  const { queries } = filled();
  equal(queries.firstAfter(-1)?.id, ids[0]);
  equal(queries.firstAfter(2)?.id, ids[3]);
  equal(queries.firstAfter(ids.length), undefined);
  const seen: number[] = [];
  for (const sent of queries) {
    seen.push(sent.id);
    queries.delete(sent);
  }
  deepEqual(seen, ids);
  equal(queries.size, 0);
});

test('all are taken at once, and none is left', () => {
  const { queries } = filled();
  deepEqual(
    queries.takeAll().map(({ id }) => id),
    ids,
  );
  deepEqual([queries.size, inOrder(queries), queries.get(5)], [0, [], undefined]);
});

test('whose they are is known while all are one client’s', () => {
  const queries = new SentQueries();
  const add = (id: number, client: string) => {
    const sent = new Sent(id, { outOn: 0, client } as TcpQuery, { leftAtMs: 0, messages: [], ids: [] }, id, false);
    queries.add(sent);
    return sent;
  };
  const all = [add(1, 'a'), add(2, 'a')];
  equal(queries.client, 'a');
  all.push(add(3, 'b'), add(4, 'b'));
  equal(queries.client, undefined);
  for (const sent of all) queries.delete(sent);
  add(5, 'b');
  equal(queries.client, 'b');
  queries.takeAll();
  equal(queries.client, undefined);
});
