/** A stand-alone agent whose control worker can be made to crash; the arguments are the agent's own. */
import { ControlThread } from '../agent/control-thread.ts';
import { serve } from '../agent/main.ts';
import { parseAgentOptions } from '../agent/options.ts';

const options = parseAgentOptions(process.argv.slice(2), process.env);
const control = new URL('./crashing-control.fake.ts', import.meta.url);
const thread = new ControlThread(control, { options, version: 'test' });
process.exitCode = await serve({ thread, nodeName: options.nodeName });
