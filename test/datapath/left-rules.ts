import { families } from '../../agent/datapath/family.ts';
import { type DatapathNames, usualNames } from '../../agent/datapath/names.ts';
import { fallbacks, fallbackTable } from '../../agent/datapath/ruleset.ts';
import type { Namespace } from '../cluster/namespace.ts';
import { nft } from './network.ts';
import { servingText } from './serving-text.ts';

export const ownAddresses = { 4: '169.254.10.11', 6: 'fdcd:6c64:6e73::11' } as const;
const endpoint = { 4: '10.244.1.53', 6: 'fd00:244::53' } as const;
/** Of the agent that left it. */
export const leftStart = 0x0123abcd;

/** What an agent leaves that was killed on a kernel without owned tables: both of its tables, rules and routes. */
export function leaveRules(node: Namespace, names: DatapathNames = usualNames): void {
  for (const family of families) {
    const listener = { addresses: [ownAddresses[family]], backends: [{ address: endpoint[family], port: 53 }] };
    nft(node, servingText(family, `${names.table}-${leftStart.toString(16).padStart(8, '0')}`));
    nft(node, fallbackTable(family, names));
    nft(node, fallbacks(family, names, { cluster: listener, node: { addresses: [], backends: [] }, untracked: [] }));
    const mark = `0x${names.marks.intercept.toString(16)}`;
    const [priority, table] = [String(names.rulePriority), String(names.routeTable)];
    node.ip(`-${family}`, 'rule', 'add', 'priority', priority, 'fwmark', `${mark}/${mark}`, 'lookup', table);
    node.ip(`-${family}`, 'route', 'add', 'local', ownAddresses[family], 'dev', 'lo', 'table', table);
  }
}
