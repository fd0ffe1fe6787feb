/** Record types by name and number. Types without a name of ours are written TYPE65 (RFC 3597 §5). */

/** IANA "Resource Record (RR) TYPEs": those that people ask for, and all that dns-packet writes by name. */
const names: ReadonlyMap<string, number> = new Map([
  ['A', 1],
  ['NS', 2],
  ['CNAME', 5],
  ['SOA', 6],
  ['NULL', 10],
  ['PTR', 12],
  ['HINFO', 13],
  ['MX', 15],
  ['TXT', 16],
  ['RP', 17],
  ['AFSDB', 18],
  ['SIG', 24],
  ['KEY', 25],
  ['AAAA', 28],
  ['LOC', 29],
  ['SRV', 33],
  ['NAPTR', 35],
  ['KX', 36],
  ['CERT', 37],
  ['DNAME', 39],
  ['OPT', 41],
  ['APL', 42],
  ['DS', 43],
  ['SSHFP', 44],
  ['IPSECKEY', 45],
  ['RRSIG', 46],
  ['NSEC', 47],
  ['DNSKEY', 48],
  ['DHCID', 49],
  ['NSEC3', 50],
  ['NSEC3PARAM', 51],
  ['TLSA', 52],
  ['HIP', 55],
  ['CDS', 59],
  ['CDNSKEY', 60],
  ['SVCB', 64],
  ['HTTPS', 65],
  ['SPF', 99],
  ['TKEY', 249],
  ['TSIG', 250],
  ['IXFR', 251],
  ['AXFR', 252],
  ['ANY', 255],
  ['CAA', 257],
  ['TA', 32768],
  ['DLV', 32769],
]);

/** From `AAAA`, `aaaa`, `TYPE28`, `28`, or dns-packet's `UNKNOWN_28`; undefined where it is no type. */
export function typeNumber(text: string): number | undefined {
  const named = names.get(text.toUpperCase());
  if (named !== undefined) return named;
  const digits = /^(?:TYPE|UNKNOWN_)?(\d{1,5})$/i.exec(text)?.[1];
  const number = digits === undefined ? undefined : Number(digits);
  return number === undefined || number > 65_535 ? undefined : number;
}

export function typeName(number: number): string {
  for (const [name, known] of names) if (known === number) return name;
  return `TYPE${number}`;
}
