/** A stand-alone agent that keeps its cache in the state folder, as agents in a cluster do; the arguments are the agent's own. */
import { serve } from '../agent/main.ts';
import { parseAgentOptions } from '../agent/options.ts';

const options = parseAgentOptions(process.argv.slice(2), process.env);
const control = new URL('./standalone-control.ts', import.meta.url);
const { nodeName, stateDir } = options;
process.exitCode = await serve({ control, controlData: { options, version: 'test' }, nodeName, stateDir });
