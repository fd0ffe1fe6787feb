/** Every error of a profile, each with its field path. Shared by the operator, the stand-alone agent and the command line. */
import { maxAddresses } from './local-answers.ts';
import { type LocalDnsProfile, type ProfileSpec, profileManifest, profileSpec } from './profile.ts';
import { profileRules, rootRules } from './profile-rules.ts';
import { dnsLabelPattern, domainNamePattern, type z } from './schema.ts';
import { serverNamePattern } from './upstreams.ts';

export interface FieldError {
  /** As kubectl writes it: `spec.kubeDNSOverrides["corp.example"].protocol`. */
  field: string;
  message: string;
}

/** Collects, never throws; empty where the spec is valid. */
export function validateProfileSpec(spec: unknown): FieldError[] {
  return [...schemaErrors(spec), ...ruleErrors(spec)];
}

/**
 * As the operator has it: what a profile says the API server has counted, and what was read off a node leads, in place of a Service, to as
 * many addresses as that had, or to none.
 */
export function validateKeptSpec(spec: ProfileSpec): FieldError[] {
  return [...schemaErrors(withFewTargets(spec)), ...ruleErrors(spec)];
}

function schemaErrors(spec: unknown): FieldError[] {
  const parsed = profileSpec.safeParse(spec, { reportInput: true });
  return parsed.success ? [] : fromIssues(parsed.error.issues, ['spec']);
}

function withFewTargets(spec: ProfileSpec): ProfileSpec {
  if (!Array.isArray(spec.redirects)) return spec;
  const redirects = spec.redirects.map((redirect) => {
    const { addresses } = redirect.target ?? {};
    if (!Array.isArray(addresses)) return redirect;
    const few = addresses.length === 0 ? undefined : addresses.slice(0, maxAddresses);
    return { ...redirect, target: { ...redirect.target, addresses: few } };
  });
  return { ...spec, redirects };
}

/** A profile from the contents of a file, or every reason why it is none. */
export function parseProfile(manifest: unknown): { profile: LocalDnsProfile } | { errors: FieldError[] } {
  const parsed = profileManifest.safeParse(manifest, { reportInput: true });
  const { metadata, spec } = (manifest ?? {}) as { metadata?: { name?: unknown }; spec?: unknown };
  const name = String(metadata?.name ?? '');
  const errors = [
    ...(parsed.success ? [] : fromIssues(parsed.error.issues, [])),
    ...rootRules.flatMap(({ message, broken }) => broken(name).map((field) => ({ field, message }))),
    ...ruleErrors(spec),
  ];
  return errors.length > 0 ? { errors } : { profile: manifest as LocalDnsProfile };
}

/** One line for each error, as files and logs show them. */
export function formatFieldError({ field, message }: FieldError): string {
  return field === '' ? message : `${field}: ${message}`;
}

/**
 * What breaks the rules, also of a spec that the schema refuses: a person wants every error at once. A rule that stumbles over
 * what the schema has refused is passed over; the schema's own error stands for it.
 */
function ruleErrors(spec: unknown): FieldError[] {
  const checks = [
    ...profileRules.map(
      ({ message, broken }) =>
        (of: ProfileSpec) =>
          broken(of).map((field) => ({ field, message })),
    ),
    duplicates,
  ];
  return checks.flatMap((check) => {
    try {
      return check(spec as ProfileSpec);
    } catch {
      return [];
    }
  });
}

/** What the CRD says with list types: sets hold each value once, maps each key. */
function duplicates(spec: ProfileSpec): FieldError[] {
  const lists: [string, readonly string[]][] = [
    ['spec.upstreams', (spec.upstreams ?? []).map(({ name }) => name)],
    ...(spec.upstreams ?? []).map(({ servers }, at): [string, readonly string[]] => [
      `spec.upstreams[${at}].servers`,
      servers ?? [],
    ]),
    ['spec.listeners.cluster.addresses', spec.listeners?.cluster?.addresses ?? []],
    ['spec.listeners.node.addresses', spec.listeners?.node?.addresses ?? []],
    ['spec.redirects', (spec.redirects ?? []).map(({ name }) => name)],
    ['spec.protection.rebind.allowedDomains', spec.protection?.rebind?.allowedDomains ?? []],
    ['spec.protection.rebind.extraPrefixes', spec.protection?.rebind?.extraPrefixes ?? []],
    ['spec.rollout.probes', spec.rollout?.probes ?? []],
    ['spec.blockedDomains', (spec.blockedDomains ?? []).map(({ domain }) => domain)],
    ...(spec.redirects ?? []).flatMap(({ match, except, target }, at): [string, readonly string[]][] => [
      ...Object.entries({ match, except }).flatMap(([part, names]) =>
        Object.entries(names ?? {}).map(([kind, list]): [string, readonly string[]] => [
          `spec.redirects[${at}].${part}.${kind}`,
          list ?? [],
        ]),
      ),
      [`spec.redirects[${at}].target.addresses`, target.addresses ?? []],
    ]),
    ...(spec.hosts ?? []).flatMap(({ hostnames, addresses }, at): [string, readonly string[]][] => [
      [`spec.hosts[${at}].hostnames`, hostnames],
      [`spec.hosts[${at}].addresses`, addresses],
    ]),
  ];
  return lists.flatMap(([field, values]) =>
    values.flatMap((value, at) =>
      values.indexOf(value) < at
        ? [{ field: `${field}[${at}]`, message: `Duplicate value: ${JSON.stringify(value)}` }]
        : [],
    ),
  );
}

type Issue = z.core.$ZodIssue;

function fromIssues(issues: readonly Issue[], prefix: readonly PropertyKey[]): FieldError[] {
  return issues.flatMap((issue): FieldError[] => {
    const path = [...prefix, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ field: fieldPath([...path, key]), message: 'unknown field: is it misspelt?' }));
    }
    return [{ field: fieldPath(path), message: describe(issue) }];
  });
}

/** Of the patterns that a profile meets in most places. */
const remedies = new Map(
  [
    [domainNamePattern, 'write a domain name in lower case without a trailing dot, such as corp.example'],
    [dnsLabelPattern, 'write lower-case letters and digits, with hyphens between them'],
    [
      serverNamePattern,
      'write a domain name in lower case without a trailing dot, such as dns.corp.example, or an IP address',
    ],
  ].map(([pattern = '', remedy]) => [String(new RegExp(pattern)), remedy]),
);

function patternOf(issue: Issue & { code: 'invalid_format' }): string {
  return 'pattern' in issue ? String(issue.pattern) : issue.format;
}

function describe(issue: Issue): string {
  const got = JSON.stringify(issue.input);
  switch (issue.code) {
    case 'invalid_value':
      return `unsupported value ${got}: supported values are ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'invalid_union':
      return `must be a number or a percentage such as 10%, not ${got}`;
    case 'invalid_type':
      return issue.input === undefined ? 'is required' : `must be of type ${issue.expected}, not ${got}`;
    case 'too_small':
      return `${got} is too small: should be at least ${issue.minimum}${issue.origin === 'array' || issue.origin === 'string' ? ` ${issue.origin === 'array' ? 'items' : 'characters'}` : ''}`;
    case 'too_big':
      return `too large: should be at most ${issue.maximum}${issue.origin === 'array' ? ' items' : issue.origin === 'string' ? ' characters' : ''}`;
    case 'invalid_key':
      return `its name is ${issue.issues.map(describe).join(', ')}`;
    case 'invalid_format':
      return `${got} is malformed: ${remedies.get(patternOf(issue)) ?? `it should match ${patternOf(issue)}`}`;
    default:
      return issue.message;
  }
}

/** `a.b[0]["c.d"]`: keys that are no plain words stand quoted in brackets. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, at) => {
      if (typeof part === 'number') return `[${part}]`;
      const word = String(part);
      if (!/^[A-Za-z_$][\w$]*$/.test(word)) return `[${JSON.stringify(word)}]`;
      return at === 0 ? word : `.${word}`;
    })
    .join('');
}
