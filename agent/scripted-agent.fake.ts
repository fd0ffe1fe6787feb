/**
 * The agent's main thread with a scripted control worker. The first argument is how many ms that takes to withdraw, or `never`, or
 * `dies` where the first worker dies once it is served, `fails` where it does before, `falls` where it does when the end has come; the second one is where
 * the cache is kept, if anywhere.
 */
import { ControlThread } from './control-thread.ts';
import { serve } from './main.ts';

const [withdraw, stateDir] = process.argv.slice(2);
process.exitCode = await serve({
  thread: new ControlThread(new URL('./scripted-control.fake.ts', import.meta.url), {
    listen: { address: '127.0.0.1', port: 0 },
    withdrawAfterMs: withdraw === 'never' ? undefined : Number(withdraw) || 0,
    dies: withdraw === 'dies',
    fails: withdraw === 'fails',
    falls: withdraw === 'falls',
  }),
  nodeName: 'scripted',
  stateDir,
});
