import { parseArgs } from 'node:util';
import { cleanUp } from '../agent/datapath/cleanup.ts';
import { datapathNameOptions, parseDatapathNames } from '../agent/datapath/names.ts';
import { NamesFile } from '../agent/datapath/names-file.ts';
import { isNetlinkError, NetlinkError } from '../agent/datapath/netlink.ts';
import { NftError } from '../agent/datapath/nft.ts';
import { isLibc, loadLibc, SystemCallError } from '../agent/libc.ts';
import { usualStateDir } from '../agent/options.ts';
import { exitCode, UsageError } from './command.ts';

export const usage = `Usage: localdns cleanup [options]

Removes from this node all that an agent leaves in the kernel: nftables tables, rules and routes, and the conntrack
entries of its fallback. Stop the agent first. It needs root; the state folder stays.

The names that agents had are known from their state folder. Where that is gone, give the names that the agent was given:

  --nft-table NAME      the nftables table (localdns)
  --mark-intercept BIT  of the packet mark: deliver to the agent (0x10)
  --mark-own BIT        the agent's own queries (0x20)
  --mark-gate BIT       set while an agent lives (0x40)
  --route-table N       the routing table that delivers (153)
  --rule-priority N     the priority of the rule that leads there (8)
  --state-dir DIR       the agent's state folder (/var/lib/localdns)

Exit code: 0 where nothing of ours is left, 1 where an agent still runs, 2 where nft is missing or refuses.
`;

export async function run(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { ...datapathNameOptions, 'state-dir': { type: 'string' } } });
  const parsed = parseDatapathNames(values);
  if ('error' in parsed) throw new UsageError(parsed.error);
  const libc = loadLibc();
  if (!isLibc(libc)) return complain(`the kernel cannot be asked: ${libc.reason}`);
  try {
    const { removed, inUse } = await cleanUp(parsed.names, new NamesFile(values['state-dir'] ?? usualStateDir), libc);
    for (const line of removed) console.log(`removed ${line}`);
    if (inUse.length > 0) {
      console.error(
        `an agent still runs on this node: ${inUse.join(', ')} ${inUse.length === 1 ? 'is its own' : 'are its own'}. Stop it, then run this again`,
      );
      return exitCode.foundWrong;
    }
    if (removed.length === 0) console.log('nothing of LocalDNS is on this node');
    return exitCode.good;
  } catch (error) {
    const denied = isNetlinkError(error, 'EPERM') || /Operation not permitted/.test((error as Error).message);
    if (denied) return complain('this needs root, or the capability NET_ADMIN');
    const ofKernel = error instanceof NftError || error instanceof NetlinkError || error instanceof SystemCallError;
    // Of the state folder's.
    if (ofKernel || (error as NodeJS.ErrnoException).path !== undefined) return complain((error as Error).message);
    throw error;
  }
}

function complain(sentence: string): number {
  console.error(`localdns cleanup: ${sentence}`);
  return exitCode.couldNotRun;
}
