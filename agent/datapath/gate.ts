/**
 * The gate: a table of this process alone, which marks the DNS queries of the node's own processes. It belongs to a netlink
 * socket (NFT_TABLE_F_OWNER, Linux 5.12), so that the kernel removes it at the moment in which the process dies, however it
 * dies. Rules elsewhere intercept those queries only while they carry the mark: in the output hook nothing else could tell
 * whether the agent lives, for `socket` sees the sender's socket there.
 */
import {
  isNetlinkError,
  Netlink,
  type NetlinkMessage,
  netlinkFlag,
  netlinkProtocol,
  type SocketCalls,
} from './netlink.ts';
import { hostU32Octets, nested, netU32, text } from './netlink-attribute.ts';
import { data, list, nfFamily, nfMessage, transaction } from './nf-message.ts';
import { portKey } from './packet-field.ts';

export interface Gate {
  /** Queries of the node's own processes are intercepted no longer. */
  close(): void;
}

const udp = 17;
const tcp = 6;
const dnsPort = 53;

/** Before the priority `raw` (-300), where the rules are that look for the mark. */
const priority = -301;
const chainName = 'queries';

/** NF_INET_LOCAL_OUT, NF_ACCEPT, NFT_TABLE_F_OWNER. */
const outputHook = 3;
const accept = 1;
const ownerFlag = 2;

/** enum nft_table_attributes, nft_chain_attributes, nft_hook_attributes, nft_rule_attributes, nft_expr_attributes. */
const table = { name: 1, flags: 2 } as const;
const chain = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
const hook = { number: 1, priority: 2 } as const;
const rule = { table: 1, chain: 2, expressions: 4 } as const;
const expression = { name: 1, data: 2 } as const;

/** enum nft_meta_attributes, nft_cmp_attributes, nft_payload_attributes, nft_bitwise_attributes, and the only register we need. */
const meta = { destination: 1, key: 2, source: 3 } as const;
const cmp = { source: 1, operation: 2, data: 3 } as const;
const payload = { destination: 1, base: 2, offset: 3, length: 4 } as const;
const bitwise = { source: 1, destination: 2, length: 3, mask: 4, xor: 5 } as const;
const register = 1;

/** enum nft_meta_keys, nft_cmp_ops, nft_payload_bases. */
const metaKey = { mark: 3, l4proto: 16 } as const;
const equal = 0;
const transportHeader = 2;
const destinationPort = { offset: 2, length: 2 } as const;

/** The table of one start of one agent: a node may have two agents, and two pods may have the same process id. */
export function gateTable(mainTable: string, pid: number, startId: number): string {
  return `${mainTable}-alive-${pid}-${(startId >>> 0).toString(16).padStart(8, '0')}`;
}

/**
 * Opens the gate, or says why the kernel cannot: the mark has to come from the main table then, which stays when the process
 * dies. Throws a NetlinkError for anything else: EPERM without the right to do it, or where the name is that of somebody else's gate.
 */
export function openGate(libc: SocketCalls, tableName: string, markBit: number): Gate | { reason: string } {
  const netlink = new Netlink(libc, netlinkProtocol.netfilter);
  try {
    netlink.request(transaction(gateMessages(tableName, markBit)));
    return netlink;
  } catch (error) {
    netlink.close();
    if (!isNetlinkError(error, 'ENOTSUP', 'EINVAL', 'EAFNOSUPPORT')) throw error;
    return { reason: `this kernel has no tables that end with their owner (Linux 5.12 has): ${error.code}` };
  }
}

/** Exported for its tests. */
export function gateMessages(tableName: string, markBit: number): NetlinkMessage[] {
  const { create, excl, append } = netlinkFlag;
  const add = (type: 'newTable' | 'newChain', attributes: Buffer[]) =>
    nfMessage(type, nfFamily.inet, attributes, create | excl);
  const queries = (protocol: number) => [
    ...matches(metaLoad(metaKey.l4proto), Buffer.from([protocol])),
    ...matches(transportLoad(destinationPort), portKey(dnsPort)),
  ];
  const addRule = (expressions: Buffer[][]) =>
    nfMessage(
      'newRule',
      nfFamily.inet,
      [text(rule.table, tableName), text(rule.chain, chainName), list(rule.expressions, expressions)],
      create | append,
    );
  return [
    add('newTable', [text(table.name, tableName), netU32(table.flags, ownerFlag)]),
    add('newChain', [
      text(chain.table, tableName),
      text(chain.name, chainName),
      text(chain.type, 'filter'),
      netU32(chain.policy, accept),
      nested(chain.hook, netU32(hook.number, outputHook), netU32(hook.priority, priority)),
    ]),
    addRule([...queries(udp), ...setMarkBit(markBit)]),
    addRule([...queries(tcp), ...setMarkBit(markBit)]),
  ];
}

function matches(load: Buffer[], value: Buffer): Buffer[][] {
  const comparison = [netU32(cmp.source, register), netU32(cmp.operation, equal), data(cmp.data, value)];
  return [load, expressionOf('cmp', comparison)];
}

/** Others' bits stay as they are. */
function setMarkBit(bit: number): Buffer[][] {
  return [
    metaLoad(metaKey.mark),
    expressionOf('bitwise', [
      netU32(bitwise.source, register),
      netU32(bitwise.destination, register),
      netU32(bitwise.length, 4),
      data(bitwise.mask, hostU32Octets(~bit)),
      data(bitwise.xor, hostU32Octets(bit)),
    ]),
    expressionOf('meta', [netU32(meta.key, metaKey.mark), netU32(meta.source, register)]),
  ];
}

function metaLoad(key: number): Buffer[] {
  return expressionOf('meta', [netU32(meta.key, key), netU32(meta.destination, register)]);
}

function transportLoad({ offset, length }: { offset: number; length: number }): Buffer[] {
  return expressionOf('payload', [
    netU32(payload.destination, register),
    netU32(payload.base, transportHeader),
    netU32(payload.offset, offset),
    netU32(payload.length, length),
  ]);
}

function expressionOf(name: string, attributes: Buffer[]): Buffer[] {
  return [text(expression.name, name), nested(expression.data, ...attributes)];
}
