/** The part of a profile that says what is answered on the node itself, whatever servers would say. */
import { count, dnsLabelPattern, domainNamePattern, withKeywords, z } from './schema.ts';

const domainName = z.string().max(253).regex(new RegExp(domainNamePattern));

const domainNames = (description: string, max = 1_024) =>
  withKeywords(z.array(domainName).min(1).max(max), { description, listType: 'set' });

/** That people write into one place; a Service may have more. */
export const maxAddresses = 16;

const addresses = (description: string) =>
  withKeywords(z.array(z.string().max(45)).min(1).max(maxAddresses), { description, listType: 'set' });

const names = (description: string) =>
  z
    .strictObject({
      exact: domainNames('Whole names.').optional(),
      suffixes: domainNames('Domains: these and all names below them, by whole labels.').optional(),
      patterns: withKeywords(z.array(z.string().min(1).max(512)).min(1).max(64), {
        description:
          'Regular expressions of the RE2 syntax, which match whole names without regard to case, in a time that is linear in the name: no look-around, no back-references.',
        listType: 'set',
      }).optional(),
    })
    .describe(description);

const redirect = z.strictObject({
  name: withKeywords(z.string().max(63).regex(new RegExp(dnsLabelPattern)), {
    description: 'Name of the redirect, for people: lower-case letters, digits and hyphens.',
  }),
  match: names('Which names are redirected.'),
  except: names('Which of these are not.').optional(),
  target: z
    .strictObject({
      addresses: addresses('IP addresses that clients get, each for queries of its family.').optional(),
      serviceRef: z
        .strictObject({
          namespace: withKeywords(z.string().max(63).regex(new RegExp(dnsLabelPattern)), {
            description: 'The namespace of the Service.',
          }),
          name: withKeywords(z.string().max(63).regex(new RegExp(dnsLabelPattern)), {
            description: 'The name of the Service.',
          }),
          addressesFrom: z
            .enum(['ClusterIP', 'LoadBalancer'])
            .optional()
            .describe(
              'Which addresses of the Service: ClusterIP are those inside the cluster, and of a headless Service the ready endpoints; LoadBalancer are those in status.loadBalancer of a Service of that type. Default: ClusterIP.',
            ),
        })
        .optional()
        .describe('In place of addresses: a Service of the cluster, followed as it changes.'),
    })
    .describe('Where the names lead: addresses or a serviceRef.'),
  ttlSeconds: count().optional().describe('TTL of the answers in seconds. Default: 30.'),
  otherTypes: z
    .enum(['NoData', 'Forward'])
    .optional()
    .describe(
      'What queries of other types than A and AAAA get: an answer without records, or what the servers say. Default: NoData.',
    ),
});

const host = z.strictObject({
  hostnames: domainNames('Names of the host.', 32),
  addresses: addresses('IP addresses of the host. PTR queries for them get its names.'),
  ttlSeconds: count().optional().describe('TTL of the answers in seconds. Default: 60.'),
});

const blockedDomain = z.strictObject({
  domain: withKeywords(domainName, { description: 'A domain: it and all names below it are blocked.' }),
  response: z
    .enum(['NxDomain', 'NullAddress'])
    .optional()
    .describe(
      'NxDomain: there is no such name. NullAddress: its addresses are 0.0.0.0 and ::. The answer says that it is blocked (Extended DNS Error 15). Default: NxDomain.',
    ),
});

const atomicList = <Item extends z.ZodType>(item: Item, max: number, description: string) =>
  withKeywords(z.array(item).max(max), { description, listType: 'atomic' });

const onNode = z.enum(['Disabled', 'NxDomain']).optional().describe('Disabled or NxDomain. Default: Disabled.');

export const localAnswerFields = {
  redirects: withKeywords(z.array(redirect).max(64), {
    description:
      'Names that lead to addresses of your choice. Of several that match, exact names count first, then the longest suffix, then patterns as they are listed.',
    listType: 'map',
    listMapKeys: ['name'],
  }).optional(),
  hosts: atomicList(
    host,
    256,
    'Names with their addresses, as in a hosts file. Other types of these names are answered without records. They win over all that follows.',
  ).optional(),
  blockedDomains: withKeywords(z.array(blockedDomain).max(1_024), {
    description: 'Domains that are not resolved. They win over redirects.',
    listType: 'map',
    listMapKeys: ['domain'],
  }).optional(),
  protection: z
    .strictObject({
      rebind: z
        .strictObject({
          mode: z
            .enum(['Disabled', 'Report', 'Enforce'])
            .optional()
            .describe(
              'Enforce withholds such answers and says that they are blocked (Extended DNS Error 15). Report counts and logs them. Default: Disabled.',
            ),
          allowedDomains: withKeywords(z.array(domainName).max(256), {
            description:
              'Domains that may lead to private addresses, with all names below them. The cluster domain may anyway, and so may local, home.arpa and internal, and zones that have an upstream of their own.',
            listType: 'set',
          }).optional(),
          allowLoopback: z
            .boolean()
            .optional()
            .describe('Whether names may lead to the loopback addresses, as many in public DNS do. Default: true.'),
          extraPrefixes: withKeywords(z.array(z.string().max(49)).max(64), {
            description: 'Networks that count as private beside those of the RFCs: 203.0.113.0/24, 2001:db8::/32.',
            listType: 'set',
          }).optional(),
        })
        .optional()
        .describe('What becomes of answers of servers that lead from public names to private addresses.'),
      privateReverse: z
        .strictObject({ mode: onNode })
        .optional()
        .describe(
          'Whether names of private addresses (RFC 6303) are asked about, other than those of pods and Services.',
        ),
      singleLabelNames: z
        .strictObject({ mode: onNode })
        .optional()
        .describe('Whether addresses of names without a dot, which no server knows, are asked about.'),
    })
    .optional()
    .describe('What is not asked of servers, and what is not believed.'),
};

export type RedirectSpec = z.output<typeof redirect>;
export type ServiceRef = NonNullable<RedirectSpec['target']['serviceRef']>;
type Names = z.output<typeof redirect>['match'];

/** With nothing left out. */
export interface DefaultedNames {
  exact: string[];
  suffixes: string[];
  patterns: string[];
}

export function defaultedNames(names: Names = {}): DefaultedNames {
  return { exact: names.exact ?? [], suffixes: names.suffixes ?? [], patterns: names.patterns ?? [] };
}
