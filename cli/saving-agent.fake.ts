/** A stand-alone agent that saves its cache all the time, and not every few minutes; the arguments are the agent's own. */
import { ControlThread } from '../agent/control-thread.ts';
import { serve } from '../agent/main.ts';
import { parseAgentOptions } from '../agent/options.ts';

const options = parseAgentOptions(process.argv.slice(2), process.env);
const control = new URL('./standalone-control.ts', import.meta.url);
const { nodeName, stateDir } = options;
const thread = new ControlThread(control, { options, version: 'test' });
process.exitCode = await serve({ thread, nodeName, stateDir, saveIntervalMs: 50 });
