/**
 * The way out of service, the same for every node, whatever the reason (opted out, unlabelled, profile Disabled or deleted):
 *
 *   withdrawn ──▶ its agent leads no query to itself, closes its listeners, says so ──▶ label off ──▶ LocalDnsNode deleted
 *
 * Each state can be read off the API, so that whichever operator comes next goes on from there. The LocalDnsNode goes last:
 * while there is one, somebody's label may still be on the node. It is not deleted first, because an object that is gone has no status
 * in which its agent could say that queries go elsewhere again; a finalizer on it would keep it for ever where no operator runs.
 */
import { drainFinalizer } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsProfile } from '../../api/v1alpha1/profile.ts';
import { type NodeFacts, stateLabelOf, type WrittenFacts } from './facts.ts';

/** An agent that lives is out within two seconds: a node that says nothing for so long is away, and nobody waits for it. */
export const WITHDRAW_MS = 60_000;

export type WayOut =
  /** Nothing of ours is there. */
  | { readonly kind: 'out' }
  | { readonly kind: 'withdraw' }
  /** For its agent, which has so long. */
  | { readonly kind: 'wait'; readonly forMs: number }
  /** Label and LocalDnsNode go now. */
  | { readonly kind: 'clear' };

/** The next step of a node that shall not be served. Pure. */
export function wayOut(node: NodeFacts | undefined, written: WrittenFacts | undefined, nowMs: number): WayOut {
  if (written === undefined) {
    return node === undefined || stateLabelOf(node) === undefined ? { kind: 'out' } : { kind: 'clear' };
  }
  // A node that is gone, or that has come anew under its name, has no agent that this one could be about.
  if (node === undefined || written.ownerUid !== node.uid || written.hasLeft) return { kind: 'clear' };
  if (written.withdrawnAtMs === undefined) return { kind: 'withdraw' };
  const forMs = written.withdrawnAtMs + WITHDRAW_MS - nowMs;
  return forMs > 0 ? { kind: 'wait', forMs: Math.min(forMs, WITHDRAW_MS) } : { kind: 'clear' };
}

/** It stays until it has been seen that no node is served by it any more. */
export function isHeld({ metadata }: LocalDnsProfile): boolean {
  return metadata.finalizers?.includes(drainFinalizer) ?? false;
}

/**
 * For how much longer a profile that is being deleted has to stay: while a LocalDnsNode is of it. One that another profile is about to take over
 * may be on a node that is away, and nobody waits for that one either. 0: it may go; undefined: until something changes. Pure.
 */
export function staysForMs(
  holders: readonly { readonly isReachable: boolean }[],
  deletedAtMs: number,
  nowMs: number,
): number | undefined {
  if (holders.some(({ isReachable }) => isReachable)) return undefined;
  return holders.length === 0 ? 0 : Math.max(0, Math.min(deletedAtMs + WITHDRAW_MS - nowMs, WITHDRAW_MS));
}
