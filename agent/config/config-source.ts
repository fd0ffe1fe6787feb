import type { NodeConfig } from '../../api/v1alpha1/node-config.ts';
import type { Outcome } from '../channel.ts';
import type { Figures } from '../figures.ts';
import type { ListenAddresses } from '../listen/listeners.ts';
import type { Log } from '../log.ts';
import type { Probed } from '../trial/trial.ts';

/** A configuration, and what ClusterCoreDNS means now. */
export interface Offer {
  config: NodeConfig;
  /** `ip:port` each. */
  clusterDns: readonly string[];
  /** Where to listen, in place of the configuration's addresses; the agent's options replace both. */
  listen?: ListenAddresses;
}

/** What a source is given: where its configurations go. */
export interface ConfigSink {
  readonly log: Log;
  /** Undefined: this node is not served. Offers are compared: an equal one costs nothing. */
  offer(offer: Offer | undefined): void;
  /** What the listeners have done since the process began. */
  figures(): Figures;
  /** Asks the listener of pods for these names; never rejects. */
  probe(names: readonly string[]): Promise<Probed[]>;
  /** The program cannot start; the lines go to stderr and the exit code is 2. */
  fatal(lines: string[]): void;
}

/** Where configurations come from: a profile file, or the node's own LocalDnsNode. */
export interface ConfigSource {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** What became of the last offer; again whenever that changes. */
  report(outcome: Outcome): void;
}
