/** Packet rules of others that an agent has to live with, for tests to put in place with nft(8). */

/** As many an administrator has it: a node answers nobody who was not asked. */
export const dropsWhatPodsSend = `table inet firewall {
  chain input {
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    ct state established,related accept
    ip6 nexthdr icmpv6 accept
  }
}`;

/** One transport is dropped, the other is not. */
export const dropsTcpFromPods = `table inet firewall {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "pod*" tcp dport 53 drop
  }
}`;

/** As one that lets out what it has let in, and knows nothing of what is untracked. */
export const dropsAnswersToPods = `table inet firewall {
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "pod*" meta l4proto { tcp, udp } th sport 53 drop
  }
}`;

/** What a network policy engine makes of "port 53 of these addresses alone" for the pod behind a device. */
export function allowsOnly(device: string, addresses: readonly string[]): string {
  return `table inet allowed {
    chain forward {
      type filter hook forward priority filter; policy accept;
      iifname "${device}" ip daddr { ${addresses.join(', ')} } meta l4proto { tcp, udp } th dport 53 accept
      iifname "${device}" drop
    }
    chain input {
      type filter hook input priority filter; policy accept;
      iifname "${device}" drop
    }
  }`;
}
