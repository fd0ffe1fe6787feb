/** The part of a profile that says how a change of it reaches its nodes, and the part of its status that says how far it came. */
import { count, domainNamePattern, intOrPercent, withKeywords, z } from './schema.ts';

const percentPattern = '^([1-9][0-9]?|100)%$';

export const rolloutSettings = z
  .strictObject({
    maxUnavailable: intOrPercent(
      percentPattern,
      'How many nodes may be on trial at once, as a number or as a percentage of the selected nodes, rounded down, at least 1; nodes that do not serve by the last good revision are not counted. Default: 10%.',
    ).optional(),
    canary: z
      .strictObject({
        nodes: withKeywords(z.int().min(0).max(1000), { format: 'int32' })
          .optional()
          .describe('How many nodes try a change before all others. 0: none. Default: 1.'),
        soakSeconds: withKeywords(z.int().min(0).max(86_400), { format: 'int32' })
          .optional()
          .describe('How many seconds they serve with it before it is judged. Default: 60.'),
      })
      .optional()
      .describe('The nodes that try a change first.'),
    autoRollback: z
      .boolean()
      .optional()
      .describe(
        'Whether a change that fails is taken back: all nodes return to the last revision that was good. Otherwise the rollout halts. Default: true.',
      ),
    paused: z
      .boolean()
      .optional()
      .describe(
        'Whether every node keeps the revision that it has. A change that had failed is tried anew when the pause ends. Default: false.',
      ),
    probes: withKeywords(z.array(z.string().max(253).regex(new RegExp(domainNamePattern))).max(8), {
      listType: 'set',
      description:
        'Names that a node must be able to resolve before it counts as updated: what it asks itself at the end of its trial. Default: none.',
    }).optional(),
    healthFactor: withKeywords(z.int().min(100).max(10_000), { format: 'int32' })
      .optional()
      .describe(
        'How much worse a node may serve on trial than before, in percent: the share of SERVFAIL answers and the 99th percentile of the time to answer. Differences that few queries make do not count. Default: 200.',
      ),
  })
  .describe('How a change of the profile reaches its nodes. An edit of this part changes no node.');

export interface DefaultedRollout {
  /** A number of nodes, or a percentage. */
  maxUnavailable: number | string;
  canary: { nodes: number; soakSeconds: number };
  autoRollback: boolean;
  paused: boolean;
  probes: string[];
  healthFactor: number;
}

export function defaultedRollout(settings: z.input<typeof rolloutSettings> = {}): DefaultedRollout {
  return {
    maxUnavailable: settings.maxUnavailable ?? '10%',
    canary: { nodes: settings.canary?.nodes ?? 1, soakSeconds: settings.canary?.soakSeconds ?? 60 },
    autoRollback: settings.autoRollback ?? true,
    paused: settings.paused ?? false,
    probes: settings.probes ?? [],
    healthFactor: settings.healthFactor ?? 200,
  };
}

/** How many of so many nodes that is; rounded as Deployments round maxUnavailable, and never none. */
export function allowedUnavailable(maxUnavailable: number | string, nodes: number): number {
  const share =
    typeof maxUnavailable === 'number'
      ? maxUnavailable
      : Math.floor((Number(maxUnavailable.slice(0, -1)) * nodes) / 100);
  return Math.max(1, share);
}

export const rolloutPhases = [
  'Idle',
  'Canary',
  'Batch',
  'Paused',
  'Halted',
  'RollingBack',
  'RolledBack',
  'Done',
] as const;
export type RolloutPhase = (typeof rolloutPhases)[number];

/** More than that on trial at once are in very large clusters alone; there those that remain are as telling. */
export const maxSilent = 50;

export const rolloutStatus = z
  .strictObject({
    phase: z
      .enum(rolloutPhases)
      .describe(
        'Canary: the first nodes try the change. Batch: the others follow, some at a time. Paused: by rollout.paused. Halted: the change failed, and nodes keep what they have. RollingBack, RolledBack: it failed, and nodes return to the last good revision, or have. Done: every node has it. Idle: nothing is served.',
      ),
    target: z
      .string()
      .max(253)
      .optional()
      .describe(
        'The revision that all nodes shall have: the name of a ControllerRevision in the namespace of the operator.',
      ),
    good: z
      .string()
      .max(253)
      .optional()
      .describe('The revision that all nodes had last, and that a rollback returns to.'),
    updated: count().optional().describe('Nodes that carry the target, on trial or not.'),
    onTrial: count().optional().describe('Of these, nodes on which it is not decided yet whether it is good.'),
    reason: z
      .string()
      .max(64)
      .optional()
      .describe('Why the target failed, in one word. Of a rollout that is Done: on nodes that came late.'),
    message: z.string().max(1024).optional().describe('Why the target failed, and on which node.'),
    attempt: count()
      .optional()
      .describe(
        'Which rollout of the profile this is, from 1 on: every target is another, and so is every time that it is tried anew.',
      ),
    silent: withKeywords(z.array(z.string().max(253)).max(maxSilent), {
      listType: 'set',
      description:
        'Nodes that have failed, gone away, fallen silent or stopped serving while they tried the target. At most 50 of them.',
    }).optional(),
    gone: count()
      .optional()
      .describe('How many such nodes are not there any more, as where machines that fail are replaced.'),
    goneAt: withKeywords(z.string(), { format: 'date-time' })
      .optional()
      .describe('Since when the last of them is not. What went late is forgotten a day after that.'),
    startedAt: withKeywords(z.string(), { format: 'date-time' })
      .optional()
      .describe('When the rollout of the target began.'),
    stoppedAt: withKeywords(z.string(), { format: 'date-time' })
      .optional()
      .describe('Since when it gives nodes nothing by itself: it is paused, or has failed.'),
  })
  .describe('How far the newest revision has come.');

export type RolloutStatus = z.output<typeof rolloutStatus>;
