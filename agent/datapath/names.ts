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

/** For parseArgs(): the agent and `localdns cleanup` take the same ones. */
export const datapathNameOptions = {
  'nft-table': { type: 'string' },
  'mark-intercept': { type: 'string' },
  'mark-own': { type: 'string' },
  'mark-gate': { type: 'string' },
  'route-table': { type: 'string' },
  'rule-priority': { type: 'string' },
} as const;
export type DatapathNameValues = { readonly [option in keyof typeof datapathNameOptions]?: string | undefined };

/** linux/rtnetlink.h: tables that the kernel fills, or has an own meaning for: compat, default, main, local. */
const kernelTables = [252, 253, 254, 255];
/** The rule that leads to the table main; ours has to come before it, and after that of the table local (0). */
const mainPriority = 32_766;
/** So long that the longer names which are made from it stay below the kernel's limit of 255. */
const maxTableName = 64;

/** The usual names with those that were given in their places, or what is wrong with one of them. */
export function parseDatapathNames(values: DatapathNameValues): { names: DatapathNames } | { error: string } {
  const errors: string[] = [];
  const number = (
    option: keyof DatapathNameValues,
    usual: number,
    isGood: (value: number) => boolean,
    what: string,
  ) => {
    const text = values[option];
    if (text === undefined) return usual;
    const value = /^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text) ? Number(text) : Number.NaN;
    if (!isGood(value)) errors.push(`--${option} ${text}: write ${what}`);
    return value;
  };
  const mark = (option: keyof DatapathNameValues, usual: number) =>
    number(option, usual, isOneBit, 'one bit of the packet mark, such as 0x10');
  const table = values['nft-table'] ?? usualNames.table;
  if (!/^[a-z][a-z0-9_.-]*$/i.test(table) || table.length > maxTableName) {
    errors.push(
      `--nft-table ${table}: write letters, digits, dots, hyphens and underscores, a letter first, at most ${maxTableName}`,
    );
  }
  const names: DatapathNames = {
    table,
    marks: {
      intercept: mark('mark-intercept', usualNames.marks.intercept),
      own: mark('mark-own', usualNames.marks.own),
      gate: mark('mark-gate', usualNames.marks.gate),
    },
    routeTable: number(
      'route-table',
      usualNames.routeTable,
      (value) => value > 0 && value <= 0xffffffff && !kernelTables.includes(value),
      "a number from 1 to 4294967295 other than the kernel's own 252 to 255",
    ),
    rulePriority: number(
      'rule-priority',
      usualNames.rulePriority,
      (value) => value > 0 && value < mainPriority,
      `a number from 1 to ${mainPriority - 1}`,
    ),
  };
  const { intercept, own, gate } = names.marks;
  if (errors.length === 0 && new Set([intercept, own, gate]).size < 3) {
    errors.push('--mark-intercept, --mark-own and --mark-gate: take three different bits');
  }
  return errors[0] === undefined ? { names } : { error: errors[0] };
}

function isOneBit(value: number): boolean {
  return value > 0 && value <= 0x80000000 && Number.isInteger(Math.log2(value));
}

/** The table of one start of one agent: a node may have two for a while. */
export function servingTableName({ table }: Pick<DatapathNames, 'table'>, startId: number): string {
  return `${table}-${startId.toString(16).padStart(8, '0')}`;
}

/** Whether it is the {@link servingTableName} of any agent. */
export function isServingTable(found: string, { table }: Pick<DatapathNames, 'table'>): boolean {
  return found.startsWith(table) && /^-[0-9a-f]{8}$/.test(found.slice(table.length));
}

/** Whether a table of this name is LocalDNS's: `localdns`, and of one agent `localdns-<start>` or `localdns-alive-<process>-<start>`. */
export function isOurTable(found: string, { table }: Pick<DatapathNames, 'table'>): boolean {
  return found.startsWith(table) && /^(-(alive-\d+-)?[0-9a-f]+)?$/.test(found.slice(table.length));
}
