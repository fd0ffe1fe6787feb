import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type Endpoint, formatEndpoint, parseEndpoint } from '../api/v1alpha1/address.ts';
import { exitCode, UsageError } from './command.ts';
import { parseDomainName, reverseName } from './domain-name.ts';
import { type Answered, exchange } from './exchange.ts';
import type { Provenance } from './message.ts';
import { presentData, presentExtendedError, presentName, presentRecord } from './presentation.ts';
import { typeName, typeNumber } from './record-type.ts';

export const usage = `Usage: localdns query NAME [TYPE] [options]
       localdns query -x ADDRESS [options]

Asks a DNS server, and says whether the answer came from the cache of LocalDNS.
TYPE is a name or a number: A (default), AAAA, SRV, TXT, HTTPS, TYPE65, 65.

  --server ADDRESS[:PORT]  whom to ask (127.0.0.1:1053; port 53 where only an address is given)
  --tcp                    ask over TCP; without, UDP first, and TCP where the answer is truncated
  --short                  print the data of the answers alone
  -x, --reverse ADDRESS    ask for the name of an address (type PTR)

Exit code: 0 for NOERROR, 1 for another response code, 2 where no answer came within 5 s.
`;

const timeoutMs = 5_000;
/** Where the stand-alone agent listens unless told otherwise. */
const defaultServer: Endpoint = { address: '127.0.0.1', port: 1053 };

interface Request {
  name: string;
  type: number;
  server: Endpoint;
  useTcp: boolean;
  isShort: boolean;
}

export async function run(argv: string[]): Promise<number> {
  const request = parseRequest(argv);
  const { name, type, server, useTcp, isShort } = request;
  const result = await exchange({ name, type }, { server, useTcp, timeoutMs, id: randomInt(0x10000) });
  if ('failure' in result) {
    console.error(`localdns query: ${result.failure}`);
    return exitCode.couldNotRun;
  }
  const lines = isShort ? result.reply.answers.map(presentData) : report(request, result);
  for (const line of lines) console.log(line);
  return result.reply.rcode === 'NOERROR' ? exitCode.good : exitCode.foundWrong;
}

function parseRequest(argv: string[]): Request {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      server: { type: 'string' },
      tcp: { type: 'boolean', default: false },
      short: { type: 'boolean', default: false },
      reverse: { type: 'string', short: 'x' },
    },
  });
  const server = values.server === undefined ? defaultServer : parseEndpoint(values.server);
  if (server === undefined) {
    throw new UsageError(`--server is an IP address with an optional port, such as 127.0.0.1:1053: ${values.server}`);
  }
  const [nameText, typeText, ...rest] = values.reverse === undefined ? positionals : ['', ...positionals];
  if (nameText === undefined) throw new UsageError('NAME is missing: which name shall be asked for?');
  if (rest.length > 0) throw new UsageError(`one NAME and one TYPE at most; what is ${rest.join(' ')}?`);
  const type = typeNumber(typeText ?? (values.reverse === undefined ? 'A' : 'PTR'));
  if (type === undefined) throw new UsageError(`TYPE is a name such as AAAA or a number such as TYPE65: ${typeText}`);
  const name = values.reverse === undefined ? nameOf(nameText) : reverseName(values.reverse);
  if (name === undefined) throw new UsageError(`--reverse is an IP address: ${values.reverse}`);
  return { name, type, server, useTcp: values.tcp, isShort: values.short };
}

function nameOf(text: string): string {
  const parsed = parseDomainName(text);
  if ('error' in parsed) throw new UsageError(`NAME: ${parsed.error}`);
  return parsed.name;
}

const cameFrom: Record<Provenance, string> = {
  forwarded: 'no, forwarded',
  cache: 'yes',
  stale: 'yes, stale: past its TTL',
  local: 'no, made by the agent itself',
};

/** Records first, as zone files write them; what is about them as comments of such a file. */
function report({ name, type, server }: Request, { reply, transport, timeMs }: Answered): string[] {
  const { answers, authorities, rcode, flags, extendedErrors, provenance } = reply;
  return [
    ...answers.map(presentRecord),
    ...(answers.length === 0 ? [`;; no ${typeName(type)} record of ${presentName(name)}`] : []),
    ...authorities.map((record) => `;; authority: ${presentRecord(record)}`),
    ';;',
    `;; RCODE:  ${rcode}`,
    `;; FLAGS:  ${flags.join(' ')}`,
    ...extendedErrors.map((error) => `;; EDE:    ${presentExtendedError(error)}`),
    `;; SERVER: ${formatEndpoint(server)} over ${transport}`,
    `;; TIME:   ${timeMs.toFixed(1)} ms`,
    `;; CACHE:  ${provenance === undefined ? 'unknown (not LocalDNS)' : cameFrom[provenance]}`,
  ];
}
