/**
 * The gate: a table of this process alone, which marks the DNS queries of the node's own processes. It belongs to a netlink
 * socket (NFT_TABLE_F_OWNER, Linux 5.12), so that the kernel removes it at the moment in which the process dies, however it
 * dies. Rules elsewhere intercept those queries only while they carry the mark: in the output hook nothing else could tell
 * whether the agent lives, for `socket` sees the sender's socket there.
 */
import { isNetlinkError, type Netlink, type NetlinkMessage } from './netlink.ts';
import { loaded, overProtocol, payloadLoad, portField, type protocolNumber, setMarkBit } from './nf-expression.ts';
import { transaction } from './nf-message.ts';
import { deleteTable, newChain, newRule, newTable } from './nf-object.ts';
import { portKey } from './packet-field.ts';

export interface Gate {
  /** Queries of the node's own processes are intercepted no longer. */
  close(): void;
}

const dnsPort = 53;

/** Before the priority `raw` (-300), where the rules are that look for the mark. */
const priority = -301;
const chainName = 'queries';

/** The table of one start of one agent: a node may have two agents, and two pods may have the same process id. */
export function gateTable(mainTable: string, pid: number, startId: number): string {
  return `${mainTable}-alive-${pid}-${(startId >>> 0).toString(16).padStart(8, '0')}`;
}

/**
 * Opens the gate, or says why the kernel cannot: the mark has to come from the main table then, which stays when the process
 * dies. Throws a NetlinkError for anything else: EPERM without the right to do it, or where the name is that of somebody else's gate.
 */
export function openGate(netlink: Netlink, tableName: string, markBit: number): Gate | { reason: string } {
  try {
    netlink.request(transaction(gateMessages(tableName, markBit)));
    return { close: () => netlink.request(transaction([deleteTable({ family: 'inet', table: tableName })])) };
  } catch (error) {
    if (!isNetlinkError(error, 'ENOTSUP', 'EINVAL', 'EAFNOSUPPORT')) throw error;
    return { reason: `this kernel has no tables that end with their owner (Linux 5.12 has): ${error.code}` };
  }
}

/** Exported for its tests. */
export function gateMessages(tableName: string, markBit: number): NetlinkMessage[] {
  const at = { family: 'inet', table: tableName } as const;
  const queries = (protocol: keyof typeof protocolNumber) => [
    ...overProtocol(protocol),
    ...loaded(payloadLoad(portField.destination), 'eq', portKey(dnsPort)),
  ];
  return [
    newTable(at, true),
    newChain(at, chainName, { type: 'filter', hook: 'output', priority }),
    newRule(at, chainName, [...queries('udp'), ...setMarkBit(markBit)]),
    newRule(at, chainName, [...queries('tcp'), ...setMarkBit(markBit)]),
  ];
}
