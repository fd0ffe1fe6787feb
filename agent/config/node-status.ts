/** What the agent writes into its LocalDnsNode's status: on change alone, by server-side apply, and again where that fails. */
import { isDeepStrictEqual } from 'node:util';
import { type Condition, type NodeConditionType, nextCondition, reasons } from '../../api/v1alpha1/conditions.ts';
import { apiVersion, nodeKind } from '../../api/v1alpha1/labels.ts';
import type { LocalDnsNode, NodeHealth } from '../../api/v1alpha1/node.ts';
import { readVersions } from '../../api/v1alpha1/node-config.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ApiError } from '../../kube/errors.ts';
import { versionOf } from '../../kube/resource.ts';
import type { Outcome } from '../channel.ts';
import type { Log } from '../log.ts';
import type { Terms } from '../trial/trial.ts';
import { localDnsNodes } from './node-source.ts';

type Status = NonNullable<LocalDnsNode['status']>;

const retryMs = 1_000;
const maxErrorLength = 4096;

export class NodeStatus {
  readonly #client: KubeClient;
  readonly #nodeName: string;
  /** What it is and what it reads. */
  readonly #self: Pick<Status, 'agentVersion' | 'configVersions'>;
  readonly #log: Log;
  #last: Status = {};
  #appliedRevision: string | undefined;
  /** Of the revision that is in force. */
  #health: NodeHealth | undefined;
  #wanted: Status | undefined;
  #writing = false;
  /** What came while we wrote: whether it is newer than what we wrote is known once that is answered. */
  #meanwhile: { readonly status: Status | undefined; readonly version: string | undefined } | undefined;

  constructor(client: KubeClient, nodeName: string, agentVersion: string, log: Log) {
    this.#client = client;
    this.#nodeName = nodeName;
    this.#self = { agentVersion, configVersions: [...readVersions] };
    this.#log = log;
  }

  /** What the API server has: taken over after a restart, so that transition times stay; put right where it is not ours. */
  seen(status: Status | undefined, version: string | undefined): void {
    if (this.#last.conditions === undefined) {
      this.#last = status ?? {};
      this.#appliedRevision ??= status?.appliedRevision;
      this.#health ??= status?.health;
    } else if (this.#wanted !== undefined) this.#meanwhile = { status, version };
    else this.#putRight(status);
  }

  #putRight(status: Status | undefined): void {
    if (!isDeepStrictEqual(status, this.#last)) this.#want(this.#last);
  }

  forget(): void {
    this.#last = {};
    this.#wanted = undefined;
    this.#meanwhile = undefined;
    this.#appliedRevision = undefined;
    this.#health = undefined;
  }

  /** Undefined where it is not measured yet. What was measured with the facts of before is measured. */
  healthOf(revision: string, { attempt, profileRevision }: Partial<Terms> = {}): NodeHealth | undefined {
    const health = this.#health;
    if (attempt !== undefined && health?.attempt !== attempt) return undefined;
    const isThis =
      attempt !== undefined && profileRevision !== undefined && health?.profileRevision === profileRevision;
    return health?.revision === revision || isThis ? health : undefined;
  }

  /** Where there is no status yet, it goes with the first one. */
  measured(health: NodeHealth): void {
    this.#health = health;
    if (this.#last.conditions === undefined) return;
    this.#last = { ...this.#last, health };
    this.#want(this.#last);
  }

  report({ revision, generation }: { revision: string; generation: number }, outcome: Outcome): void {
    if (outcome.refused === undefined) this.#appliedRevision = revision;
    const facts = { revision, generation, appliedRevision: this.#appliedRevision };
    if (this.#health?.revision !== this.#appliedRevision) this.#health = undefined;
    const status = {
      ...nodeStatus(this.#last, facts, outcome, Date.now()),
      ...this.#self,
      ...(this.#health !== undefined && { health: this.#health }),
    };
    if (isDeepStrictEqual(status, this.#last)) return;
    this.#last = status;
    this.#want(status);
  }

  /** Nothing is served any more, as was asked for. */
  reportWithdrawn(generation: number, interception: Outcome['interception']): void {
    this.#appliedRevision = undefined;
    this.#health = undefined;
    const status = {
      ...withdrawnStatus(this.#last, generation, interception, Date.now()),
      ...this.#self,
    };
    if (isDeepStrictEqual(status, this.#last)) return;
    this.#last = status;
    this.#want(status);
  }

  #want(status: Status): void {
    this.#wanted = status;
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#wanted !== undefined) {
      const status = this.#wanted;
      try {
        const { metadata } = await this.#client.apply(
          localDnsNodes,
          { apiVersion, kind: nodeKind.kind, metadata: { name: this.#nodeName }, status } as never,
          { subresource: 'status' },
        );
        if (this.#wanted !== status) continue;
        this.#wanted = undefined;
        const meanwhile = this.#meanwhile;
        this.#meanwhile = undefined;
        if (isNewer(meanwhile?.version, metadata.resourceVersion)) this.#putRight(meanwhile?.status);
      } catch (error) {
        // Gone with its object: the store will say so.
        if (error instanceof ApiError && error.isNotFound) this.#wanted = undefined;
        else {
          this.#log.warn({ error: (error as Error).message }, 'the status cannot be written; trying again');
          await new Promise((resolve) => setTimeout(resolve, retryMs));
        }
      }
    }
    this.#writing = false;
  }
}

function isNewer(version: string | undefined, than: string | undefined): boolean {
  const [one, other] = [versionOf(version), versionOf(than)];
  return one !== undefined && other !== undefined && one > other;
}

/** The status after `outcome`; pure. `listening` empty means that nothing is served. */
export function nodeStatus(
  before: Status,
  facts: { revision: string; generation: number; appliedRevision: string | undefined },
  { refused, silent, listening, interception }: Outcome,
  nowMs: number,
): Status {
  const old: readonly Condition[] = before.conditions ?? [];
  const observedGeneration = facts.generation;
  const error = refused?.error ?? silent ?? '';
  const where = listening.map(({ name, address, port }) => `${name} on ${address}:${port}`).join(', ');
  const serving = listening.length > 0 && silent === undefined;
  return {
    observedGeneration,
    ...(facts.appliedRevision !== undefined && { appliedRevision: facts.appliedRevision }),
    lastError: error.slice(0, maxErrorLength),
    conditions: [
      nextCondition(
        old,
        {
          type: 'ConfigApplied',
          status: refused === undefined ? 'True' : 'False',
          observedGeneration,
          reason:
            refused === undefined
              ? reasons.applied
              : refused.code === 'LISTEN'
                ? reasons.listenFailed
                : reasons.refused,
          message:
            refused === undefined
              ? `revision ${facts.revision} is in force`
              : `revision ${facts.revision} is not in force: ${refused.error}`,
        },
        nowMs,
      ),
      nextCondition(
        old,
        {
          type: 'Serving',
          status: serving ? 'True' : 'False',
          observedGeneration,
          reason: serving ? reasons.listenersAnswering : reasons.listenFailed,
          message: serving ? `answering: ${where}` : error,
        },
        nowMs,
      ),
      ...(interception === undefined
        ? []
        : [
            nextCondition(
              old,
              {
                type: 'Intercepting',
                status: interception.intercepting ? 'True' : 'False',
                observedGeneration,
                reason: interception.reason,
                message: interception.message,
              },
              nowMs,
            ),
          ]),
    ],
  };
}

/** The status of a node that was taken out of service; pure. */
export function withdrawnStatus(
  before: Status,
  observedGeneration: number,
  interception: Outcome['interception'],
  nowMs: number,
): Status {
  const condition = (type: NodeConditionType, status: Condition['status'], message: string): Condition =>
    nextCondition(
      before.conditions ?? [],
      { type, status, observedGeneration, reason: reasons.withdrawn, message },
      nowMs,
    );
  return {
    observedGeneration,
    lastError: '',
    conditions: [
      condition('ConfigApplied', 'True', 'nothing is in force: this node is not to be served any more'),
      condition('Serving', 'False', 'no listener is open'),
      ...(interception === undefined ? [] : [condition('Intercepting', 'False', interception.message)]),
    ],
  };
}
