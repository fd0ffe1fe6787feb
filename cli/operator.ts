import { runOperator } from '../operator/main.ts';

export { operatorUsage as usage } from '../operator/options.ts';

export function run(argv: string[]): Promise<number> {
  return runOperator(argv);
}
