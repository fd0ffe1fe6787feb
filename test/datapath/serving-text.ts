import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Family, nftFamily } from '../../agent/datapath/family.ts';

const folder = resolve(import.meta.dirname, '../golden/ruleset');
/** In the files. */
const tableInFiles = 'localdns-0badcafe';
const owner = /^\tflags owner\n/m;
const gate = 'meta mark and 0x40 == 0x40 meta mark set meta mark xor 0x40 ';

/**
 * The serving table in the words of nft(8), under another name; for a table without an owner, since one of a script would end
 * with the nft that reads it.
 *
 * @param gated whether the rules ask for the gate, as those of an owned table do
 */
export function servingText(family: Family, table: string, { gated = false }: { gated?: boolean } = {}): string {
  const text = readFileSync(`${folder}/serving.${nftFamily[family]}.nft`, 'utf8');
  for (const part of [tableInFiles, gate]) if (!text.includes(part)) throw new Error(`the file lacks ${part}`);
  return text
    .replace(tableInFiles, table)
    .replace(owner, '')
    .replace(gate, gated ? gate : '');
}
