import type { Resource } from './resource.ts';

/**
 * Everything that can go wrong between us and an API server, sorted by what the caller does about it. Each message is
 * one line that a person can act on; each `code` is stable, so that logs and metrics may be searched by it.
 *
 *   KUBE_CONFIG            no usable kubeconfig: nothing to retry, say it and stop
 *   KUBE_UNREACHABLE       no connection, or it broke: retry
 *   KUBE_TIMEOUT           no answer in time: retry
 *   KUBE_BAD_RESPONSE      an answer that is not of the Kubernetes API (a proxy's page): retry
 *   KUBE_RESOURCE_MISSING  the server does not know the kind: its CRD is not installed (yet): retry
 *   KUBE_FENCED            we did not send it: this process may not write any more
 *   KUBE_API_<status>      the server refused: see ApiError
 */
export abstract class KubeError extends Error {
  abstract readonly code: string;
}

export class KubeconfigError extends KubeError {
  readonly code = 'KUBE_CONFIG';
}

export class UnreachableError extends KubeError {
  readonly code = 'KUBE_UNREACHABLE';
}

export class TimeoutError extends KubeError {
  readonly code = 'KUBE_TIMEOUT';
}

export class BadResponseError extends KubeError {
  readonly code = 'KUBE_BAD_RESPONSE';
}

export class FencedError extends KubeError {
  readonly code = 'KUBE_FENCED';
}

/** The object `Status` of the Kubernetes API (meta/v1), as far as it is read here. */
export interface Status {
  readonly kind?: string;
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly name?: string; readonly retryAfterSeconds?: number };
}

/** An answer of the API server that is not a success. */
export class ApiError extends KubeError {
  readonly code: string;
  /** The HTTP status. */
  readonly status: number;
  /** The API's own word for it (`Conflict`, `Invalid`, `Expired`), or '' where the answer had none. */
  readonly reason: string;
  /** How long the server asked us to stay away (Retry-After), in milliseconds; 0 when it did not. */
  readonly retryAfterMs: number;

  constructor(status: number, reason: string, message: string, retryAfterMs = 0, code = `KUBE_API_${status}`) {
    super(message);
    this.code = code;
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }

  /** The object is not there (or its kind is not: see ResourceMissingError). */
  get isNotFound(): boolean {
    return this.status === 404;
  }

  /** Somebody else wrote first, owns the field, or the precondition did not hold: read again, then decide again. */
  get isConflict(): boolean {
    return this.status === 409;
  }

  /** The resource version or continue token is too old: list again. */
  get isGone(): boolean {
    return this.status === 410;
  }

  /** The same request will be refused for ever: what we sent is wrong, and only other content could pass. */
  get isTerminal(): boolean {
    return [400, 405, 406, 413, 415, 422].includes(this.status);
  }
}

/** 404 for the kind, not for one object: the API server has no such resource. */
export class ResourceMissingError extends ApiError {
  constructor(resource: Resource) {
    const kind = resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
    super(
      404,
      'NotFound',
      `the API server does not know ${kind} (${resource.version}): install the CRDs, as the Helm chart or kubectl apply -f crds/ does`,
      0,
      'KUBE_RESOURCE_MISSING',
    );
  }
}

/** The error for an answer with a status ≥ 400, or for an ERROR event of a watch (which carries the same Status). */
export function apiErrorOf(
  request: { readonly what: string; readonly resource: Resource },
  httpStatus: number,
  body: Status | undefined,
  retryAfterHeader?: string,
): ApiError {
  const status = body?.code ?? httpStatus;
  // "the server could not find the requested resource" names no object in its details: the kind itself is missing.
  if (status === 404 && body?.details?.name === undefined) return new ResourceMissingError(request.resource);
  const retryAfterSeconds = Number(retryAfterHeader ?? body?.details?.retryAfterSeconds ?? 0);
  const reason = body?.reason ?? '';
  return new ApiError(
    status,
    reason,
    `${request.what}: ${status}${reason === '' ? '' : ` ${reason}`}${hintFor(status)}: ${firstLine(body?.message)}`,
    Number.isFinite(retryAfterSeconds) ? Math.max(0, retryAfterSeconds * 1000) : 0,
  );
}

function hintFor(status: number): string {
  if (status === 401) return ' (the credentials are not accepted; is the token or certificate expired?)';
  if (status === 403) return ' (the role lacks this right; see the chart’s ClusterRoles)';
  return '';
}

function firstLine(message: string | undefined): string {
  return (message ?? 'no message').replaceAll(/\s*\n\s*/g, '; ').slice(0, 1000);
}
