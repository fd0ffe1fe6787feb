/** What the serving thread and the control worker say to each other. */
import type { NodeConfig } from '../api/v1alpha1/node-config.ts';
import type { Destinations } from './block-source.ts';
import type { Interception } from './datapath/datapath.ts';
import type { DescriptorNotice } from './descriptors.ts';
import type { ListenAddresses, ListeningAddress } from './listen/listeners.ts';
import type { TallyNotice } from './tallies.ts';
import type { Probed } from './trial/trial.ts';

/** One whole configuration: what to serve, where, and what the built-in destinations mean now. */
export interface Desired {
  config: NodeConfig;
  listen: ListenAddresses;
  destinations: Destinations;
  /** Of packets, where rules look at them: of the agent's own queries upstream, and of queries that lead to it. */
  marks?: { own: number; intercept: number };
}

export type ToServing =
  /** `desired` undefined: this node is not served any more. */
  | { kind: 'desired'; number: number; desired: Desired | undefined }
  | { kind: 'ping'; number: number }
  /** The worker cannot go on; its last lines for stderr. */
  | { kind: 'fatal'; lines: string[] }
  | DescriptorNotice
  /** Names to ask the listener of pods for. */
  | { kind: 'probe'; number: number; names: readonly string[] }
  /** What comes to our addresses is led to sockets of others beside ours: lead it here again. */
  | { kind: 'steer' }
  /** Queries come to this node's other servers now. */
  | { kind: 'withdrawn' }
  /** The worker has flushed its logs. */
  | { kind: 'stopped' };

export type ToControl =
  | { kind: 'outcome'; number: number; outcome: Outcome }
  | { kind: 'tally'; notice: TallyNotice }
  | { kind: 'log'; records: LogRecord[] }
  /** There are lines in the log of queries. */
  | { kind: 'queries' }
  | { kind: 'pong'; number: number }
  | { kind: 'probed'; number: number; probes: Probed[] }
  /** The agent is about to end: no query shall be led to it any more. */
  | { kind: 'withdraw' }
  | { kind: 'stop' };

/** What became of a {@link Desired}. */
export interface Outcome {
  /** Why the configuration is not in force; LISTEN: a socket could not be opened. Absent where it is. */
  refused?: { code: 'LISTEN' | 'CONFIG'; error: string };
  /** Why the listeners do not answer their own queries; absent where they do. */
  silent?: string;
  /** What is listened on now, whatever became of it. */
  listening: ListeningAddress[];
  /** Whether queries are led there; added by the control worker. */
  interception?: Interception;
}

export interface LogRecord {
  level: 'info' | 'warn' | 'error';
  msg: string;
  /** Stable words and numbers. */
  fields: Record<string, unknown>;
}
