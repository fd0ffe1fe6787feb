import type { Need } from './find.ts';

export interface Tier {
  name: string;
  /** One sentence for the person who reads the output. */
  about: string;
  /** Globs below the repository's root. */
  files: readonly string[];
  needs: readonly Need[];
  /** A test that takes longer than this is ended and has failed. */
  testLimitMs: number;
  /** The same for the larger forms, where those take longer. */
  nightlyTestLimitMs?: number;
  /** How many files run at once. Tests that measure time want the machine to themselves. */
  atOnce: number;
  /** All files run in one process, one after the other: what one has started, the next one finds. */
  together?: boolean;
  /** Runs only where somebody asks for it: it takes longer than a change should wait. */
  byName?: boolean;
  /** Its figures are worth something only while nobody else has the processors. */
  ahead?: boolean;
}

const minuteMs = 60_000;

const controlPlane: readonly Need[] = ['root', 'namespaces', 'ip', 'openssl', 'etcd', 'kube-apiserver', 'kubectl'];

const datapath: readonly Need[] = [
  ...controlPlane,
  ...(['coredns', 'helm', 'kube-proxy', 'nft', 'iptables', 'conntrack', 'dig'] as const),
];

/** In the order in which they run: the quickest to tell what is wrong comes first. */
export const tiers: readonly Tier[] = [
  {
    name: 'unit',
    about: 'each file beside its source, and the rules of the house',
    files: [
      '{api,kube,operator,agent,cli,bin,bench,charts,docs}/**/*.test.ts',
      'test/*.test.ts',
      'test/{tools,golden,fake}/**/*.test.ts',
    ],
    needs: [],
    testLimitMs: minuteMs,
    // A rollout's 20,000 histories of each kind.
    nightlyTestLimitMs: 15 * minuteMs,
    atOnce: 2,
  },
  {
    name: 'scenario',
    about: 'scripted client, upstream and clock',
    files: ['test/scenario/**/*.test.ts'],
    needs: [],
    testLimitMs: minuteMs,
    atOnce: 2,
  },
  {
    name: 'conformance',
    about: 'one file per clause of an RFC',
    files: ['test/conformance/**/*.test.ts'],
    needs: [],
    testLimitMs: minuteMs,
    atOnce: 2,
  },
  {
    name: 'fuzz',
    about: 'packets that nobody would send',
    files: ['test/fuzz/**/*.test.ts'],
    needs: [],
    testLimitMs: 5 * minuteMs,
    nightlyTestLimitMs: 60 * minuteMs,
    atOnce: 2,
  },
  {
    name: 'peers',
    about: 'the same questions to other servers',
    files: ['test/peers/**/*.test.ts'],
    needs: ['unbound'],
    testLimitMs: minuteMs,
    nightlyTestLimitMs: 15 * minuteMs,
    atOnce: 1,
  },
  {
    name: 'cluster',
    about: 'real etcd, kube-apiserver, CoreDNS, helm',
    files: ['test/cluster/**/*.test.ts'],
    needs: [...controlPlane, 'kube-controller-manager', 'coredns', 'helm', 'dig'],
    testLimitMs: 5 * minuteMs,
    nightlyTestLimitMs: 90 * minuteMs,
    // Each file has a control plane in a namespace of its own, and waits for more than half of its time.
    atOnce: 3,
  },
  {
    name: 'rules',
    about: 'what is put into the kernel, and taken out of it again',
    files: [
      'test/datapath/{cleanup,gate,heartbeat,last-words,names,node-rules,preflight,routing,serving-table,sockets,standing-rules,trials}.test.ts',
    ],
    needs: datapath,
    testLimitMs: minuteMs,
    atOnce: 2,
  },
  {
    name: 'datapath',
    about: 'network namespaces, nftables, a dying agent',
    files: [
      'test/datapath/{bare-lab,deaths,goals,hand-over,hostile,node-processes,partial,probes,removal,uninstall,withdrawal,world}.test.ts',
    ],
    needs: datapath,
    testLimitMs: 5 * minuteMs,
    nightlyTestLimitMs: 15 * minuteMs,
    atOnce: 1,
    together: true,
    ahead: true,
  },
  {
    name: 'image',
    about: 'the container image, built from nothing but packages',
    files: ['test/image/**/*.test.ts'],
    needs: ['root', 'namespaces', 'buildah', 'mmdebstrap'],
    testLimitMs: 15 * minuteMs,
    atOnce: 1,
    byName: true,
  },
  {
    name: 'e2e',
    about: 'a real cluster: containerd, kubelets, pods',
    files: ['test/e2e/**/*.test.ts'],
    needs: [
      ...datapath,
      ...(['kube-controller-manager', 'kube-scheduler', 'kubelet', 'control groups'] as const),
      ...(['containerd', 'runc', 'network plugins', 'buildah', 'mmdebstrap'] as const),
    ],
    testLimitMs: 15 * minuteMs,
    atOnce: 1,
    together: true,
    byName: true,
    ahead: true,
  },
];
