import { ControlThread } from '../agent/control-thread.ts';
import { OptionError, parseAgentOptions } from '../agent/options.ts';
import manifest from '../package.json' with { type: 'json' };
import { UsageError } from './command.ts';

export const usage = `Usage: localdns agent --profile FILE [options]
       localdns agent --node-name NAME [options]
       localdns agent --preflight [options]

Answers DNS on this node, from a profile file (stand-alone) or from the node's LocalDnsNode (in a cluster).

  --profile FILE           render FILE and follow its edits; no cluster is needed
  --node-name NAME         the node whose LocalDnsNode is followed (NODE_NAME)
  --kubeconfig FILE        how to reach the API server (KUBECONFIG; in a pod its ServiceAccount)
  --listen-cluster A:P     replaces the addresses of the cluster listener; may repeat
  --listen-node A:P        replaces the addresses of the node listener; may repeat
  --cluster-dns A[:P],…    the servers that ClusterCoreDNS means, in place of the cluster DNS Service's endpoints;
                           embedded[:FILE] starts a small cluster DNS inside, to try things out (with --profile)
  --node-dns A[:P],…       the servers that VnetDNS means, in place of those in resolv.conf
  --resolv-conf FILE       where the node's resolvers are listed (/etc/resolv.conf, or systemd-resolved's own list)
  --metrics A:P            metrics and health (127.0.0.1:9353; in a cluster on HOST_IP)
  --metrics-port PORT      another port there (9353)
  --state-dir DIR          keeps the cache for the next start, and in a cluster the last good configuration
                           (/var/lib/localdns; stand-alone without it nothing is kept)
  --ready-file FILE        exists while the agent serves
  --log-level LEVEL        info, warn or error (info)
  --no-datapath            lead no queries to the agent: its addresses have to be on an interface
  --preflight              say what this node can and cannot do, and what to do about it; changes nothing, serves nothing
                           in an agent's pod it judges by that agent's options, where none are given (AGENT_OPTIONS)
  -o, --output text|json   the form of --preflight (text)

What of the kernel's name spaces is ours, where the usual ones are another program's:

  --nft-table NAME         the nftables table; those of running agents begin with the same name (localdns)
  --mark-intercept BIT     of the packet mark: deliver to the agent (0x10)
  --mark-own BIT           the agent's own queries, never intercepted (0x20)
  --mark-gate BIT          set while an agent lives, on queries of the node's own processes (0x40)
  --route-table N          the routing table that delivers (153)
  --rule-priority N        the priority of the rule that leads there (8)

A stand-alone agent whose profile names no listeners serves those that options name; where none does, 127.0.0.1:1053 (cluster)
and 127.0.0.1:1054 (node). Its metrics are listed in docs/reference/metrics.md.
`;

export async function run(argv: string[]): Promise<number> {
  const options = parse(argv);
  if (options.preflight !== undefined) return (await import('./preflight.ts')).runPreflight(options);
  const control =
    options.profile === undefined
      ? new URL('../agent/node-control.ts', import.meta.url)
      : new URL('./standalone-control.ts', import.meta.url);
  const thread = new ControlThread(control, { options, version: manifest.version });
  const [{ serve }, { canMark }] = await Promise.all([import('../agent/main.ts'), import('../agent/marked-socket.ts')]);
  return serve({
    thread,
    // Without the right to mark there is no interception either; the preflight says so.
    marks: options.datapath && canMark(options.names.marks.own) ? options.names.marks : undefined,
    nodeName: options.nodeName,
    stateDir: options.keepsState ? options.stateDir : undefined,
  });
}

function parse(argv: string[]) {
  try {
    return parseAgentOptions(argv, process.env);
  } catch (error) {
    if (error instanceof OptionError) throw new UsageError(error.message);
    throw error;
  }
}
