import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { CacheCount } from './cache-tally.ts';
import { UpstreamCount, upstreamCounts } from './forward/upstream.ts';
import { Metrics } from './metrics.ts';
import { firstRcodeCount, ListenerCount, listenerCounts, ZoneCount, zoneCounts } from './server/plan.ts';
import { Tallies } from './tallies.ts';

function scene() {
  const metrics = new Metrics('1.2.3');
  const tallies = new Tallies((notice) => metrics.add(notice));
  const samples = async (name: string) =>
    Object.fromEntries(
      (await metrics.expose())
        .split('\n')
        .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
        .map((line) => [line.slice(name.length, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    );
  return { metrics, tallies, samples };
}

test('each count has a place of its own, without gaps: what follows begins behind the last', () => {
  for (const places of [ListenerCount, ZoneCount, UpstreamCount, CacheCount]) {
    const taken = Object.values(places);
    deepEqual(
      taken.toSorted((a, b) => a - b),
      taken.map((_, index) => index),
    );
  }
});

test('what the serving thread counts is what a scrape shows, each time anew', async () => {
  const { tallies, samples } = scene();
  const listener = tallies.open('listener', { listener: 'cluster' }, listenerCounts);
  listener[ListenerCount.udpQueries] = 5;
  listener[ListenerCount.tcpQueries] = 2;
  listener[ListenerCount.dropped] = 3;
  listener[ListenerCount.overrun] = 7;
  listener[ListenerCount.unlogged] = 10;
  listener[firstRcodeCount + 3] = 4;
  const zone = tallies.open('zone', { listener: 'cluster', zone: 'cluster.local' }, zoneCounts);
  zone[ZoneCount.stale] = 6;
  zone[ZoneCount.coalesced] = 8;
  const queries = '{listener="cluster",transport="udp"}';
  equal((await samples('localdns_queries_total'))[queries], 5);
  equal((await samples('localdns_queries_total'))[queries], 5, 'a scrape is no event');
  equal((await samples('localdns_queries_total'))['{listener="cluster",transport="tcp"}'], 2);
  equal((await samples('localdns_rejected_total'))['{listener="cluster",reason="dropped"}'], 3);
  equal((await samples('localdns_overrun_queries_total'))['{listener="cluster"}'], 7);
  equal((await samples('localdns_unlogged_queries_total'))['{listener="cluster"}'], 10);
  equal((await samples('localdns_answers_total'))['{listener="cluster",rcode="NXDOMAIN"}'], 4);
  const answers = await samples('localdns_zone_answers_total');
  equal(answers['{listener="cluster",zone="cluster.local",origin="stale"}'], 6);
  equal((await samples('localdns_coalesced_total'))['{listener="cluster",zone="cluster.local"}'], 8);
  listener[ListenerCount.udpQueries] = 9;
  equal((await samples('localdns_queries_total'))[queries], 9);
});

test('what search paths make is told by why it was asked about, of zones that have such names', async () => {
  const { tallies, samples } = scene();
  tallies.open('zone', { listener: 'cluster', zone: '.' }, zoneCounts);
  const zone = tallies.open('zone', { listener: 'cluster', zone: 'cluster.local' }, zoneCounts);
  deepEqual(await samples('localdns_search_path_asked_total'), {});
  zone[ZoneCount.searchPathUnproven] = 1;
  zone[ZoneCount.searchPathSample] = 2;
  zone[ZoneCount.searchPathException] = 3;
  zone[ZoneCount.searchPathDnssec] = 4;
  zone[ZoneCount.searchPathSoa] = 5;
  zone[ZoneCount.searchPathForgotten] = 6;
  const labels = 'listener="cluster",zone="cluster.local"';
  deepEqual(await samples('localdns_search_path_asked_total'), {
    ...{ [`{${labels},reason="unproven"}`]: 1, [`{${labels},reason="sample"}`]: 2 },
    ...{ [`{${labels},reason="exception"}`]: 3, [`{${labels},reason="dnssec"}`]: 4 },
    [`{${labels},reason="soa"}`]: 5,
  });
  equal((await samples('localdns_search_path_forgotten_total'))[`{${labels}}`], 6);
});

test('upstream queries are told by the transport that they took, over all blocks that ask the server', async () => {
  const { tallies, samples } = scene();
  const overUdp = tallies.open('upstream', { upstream: '10.0.0.1:53', transport: 'udp' }, upstreamCounts);
  const overTcp = tallies.open('upstream', { upstream: '10.0.0.1:53', transport: 'tcp' }, upstreamCounts);
  const overTls = tallies.open('upstream', { upstream: '10.0.0.2:853', transport: 'tls' }, upstreamCounts);
  overTls[UpstreamCount.tcpQueries] = 4;
  overUdp[UpstreamCount.udpQueries] = 10;
  overUdp[UpstreamCount.tcpQueries] = 1;
  overTcp[UpstreamCount.tcpQueries] = 20;
  overTcp[UpstreamCount.milliseconds] = 1500;
  overTcp[UpstreamCount.down] = 1;
  deepEqual(await samples('localdns_upstream_queries_total'), {
    '{upstream="10.0.0.1:53",transport="udp"}': 10,
    '{upstream="10.0.0.1:53",transport="tcp"}': 21,
    '{upstream="10.0.0.2:853",transport="tls"}': 4,
  });
  equal((await samples('localdns_upstream_answer_seconds_total'))['{upstream="10.0.0.1:53",transport="tcp"}'], 1.5);
  deepEqual(await samples('localdns_upstream_up'), {
    '{upstream="10.0.0.1:53",transport="udp"}': 1,
    '{upstream="10.0.0.1:53",transport="tcp"}': 0,
    '{upstream="10.0.0.2:853",transport="tls"}': 1,
  });
});

test('the cache, the version and the state of serving are shown', async () => {
  const { metrics, tallies, samples } = scene();
  const cache = tallies.open('cache', {}, 3);
  cache[CacheCount.entries] = 12;
  cache[CacheCount.bytes] = 3456;
  cache[CacheCount.evictions] = 2;
  metrics.serving.set(1);
  metrics.configurations.inc({ outcome: 'applied' });
  deepEqual(await samples('localdns_cache_entries'), { '': 12 });
  deepEqual(await samples('localdns_cache_bytes'), { '': 3456 });
  deepEqual(await samples('localdns_cache_evictions_total'), { '': 2 });
  deepEqual(await samples('localdns_build_info'), { '{version="1.2.3"}': 1 });
  deepEqual(await samples('localdns_serving'), { '': 1 });
  deepEqual(await samples('localdns_configurations_total'), { '{outcome="applied"}': 1 });
});

test('every metric of ours has the prefix and a sentence of help', async () => {
  const { metrics } = scene();
  const text = await metrics.expose();
  const helped = [...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map(([, name = '']) => name);
  const typed = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = '']) => name);
  deepEqual(helped, typed);
  ok(helped.every((name) => name.startsWith('localdns_')));
});

test('an agent whom nobody asks does not wake to measure itself', () => {
  const program = `
    import { performance } from 'node:perf_hooks';
    import { Metrics } from ${JSON.stringify(new URL('./metrics.ts', import.meta.url).href)};
    const metrics = new Metrics('1.2.3');
    const { loopCount } = performance.nodeTiming.uvMetricsInfo;
    setTimeout(async () => {
      const turns = performance.nodeTiming.uvMetricsInfo.loopCount - loopCount;
      console.log(JSON.stringify({ turns, exposed: await metrics.expose() }));
      process.exit();
    }, 500);`;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
  const { turns, exposed } = JSON.parse(output) as { turns: number; exposed: string };
  ok(turns < 10, `${turns} turns of the loop`);
  ok(exposed.includes('localdns_nodejs_eventloop_lag_seconds '));
  ok(!exposed.includes('lag_p99'), 'what nobody measured is not told');
});
