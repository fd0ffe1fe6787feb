/** What of the kernel's name spaces is ours: marks, tables, priorities. Options may change each of them. */
export interface DatapathNames {
  /** The nftables table, in the families ip and ip6. */
  readonly table: string;
  /** Bits of the packet mark; others' bits stay as they are. */
  readonly marks: {
    /** Deliver to the agent. */
    readonly intercept: number;
    /** The agent's own queries upstream: never intercepted. */
    readonly own: number;
    /** Set while an agent's process lives, on queries of the node's own processes. */
    readonly gate: number;
  };
  /** The routing table that delivers what carries the mark `intercept`, and the priority of the rule that leads there. */
  readonly routeTable: number;
  readonly rulePriority: number;
}

/**
 * Bits that no common network plugin uses (kube-proxy 0xc000, Cilium 0xf00 and the upper half, Calico the upper half, AWS VPC
 * CNI 0x80, Weave 0x60000), and a priority before theirs (Cilium 9, AWS VPC CNI from 10 on).
 */
export const usualNames: DatapathNames = {
  table: 'localdns',
  marks: { intercept: 0x10, own: 0x20, gate: 0x40 },
  routeTable: 153,
  rulePriority: 8,
};
