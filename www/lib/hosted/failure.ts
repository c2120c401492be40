// What the server says when it refuses ─► one typed error. Bodies come as `{detail, code, request_id}`,
// as a 422's `{detail, errors}` or FastAPI's `{detail: [{loc, msg}]}`, as OpenAI's `{error: {message}}`,
// as a page of some gateway, or not at all.

import { EmbedderError, isRecord, type ErrorCode } from '../errors.js';
import type { Secrets } from './secrets.js';
import type { HostedErrorData } from './types.js';

/** Of a body that is no JSON, so much is told. */
const MAX_EXCERPT = 200;
/** Codes that say "pay", whatever their status. */
const QUOTA_CODES = /INSUFFICIENT_(?:BALANCE|QUOTA)|RESOURCE_LIMIT_EXCEEDED/i;

/** Whether the same request may succeed a moment later. */
export function isRetryable(status: number, code: string | undefined): boolean {
  if (code !== undefined && QUOTA_CODES.test(code)) return false;
  return status === 408 || status === 409 || status === 429 || status >= 500;
}

export interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly code: string | undefined;
  readonly requestId: string | undefined;
  readonly fields: readonly { readonly field: string; readonly message: string }[];
}

/** Reads the body of an answer that is no success. Never fails, whatever the body is. */
export function readRefusal(status: number, body: string, headerId: string | undefined, secrets: Secrets): Refusal {
  const json = parse(body);
  const nested = isRecord(json) && isRecord(json['error']) ? json['error'] : undefined;
  const top = isRecord(json) ? json : {};
  const text = (...values: unknown[]): string | undefined => {
    const found = values.find((value) => typeof value === 'string' && value !== '');
    return found === undefined ? undefined : secrets.redact(found as string);
  };
  const fields = readFields(top['errors'] ?? top['detail'] ?? nested?.['details'], secrets);
  const listed = fields.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`)).join('; ');
  const stated = text(top['detail'], nested?.['message'], top['error'], top['message'], json);
  const plain = json === undefined && !/^\s*</.test(body) ? secrets.redact(body).trim().slice(0, MAX_EXCERPT) : '';
  return {
    status,
    message: [stated, listed === '' ? undefined : listed].filter((part) => part !== undefined).join(': ') || plain,
    code: text(top['code'], nested?.['code'], nested?.['type']),
    requestId: text(top['request_id'], nested?.['request_id'], headerId),
    fields,
  };
}

function readFields(value: unknown, secrets: Secrets): { field: string; message: string }[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isRecord).map((entry) => {
    const loc = Array.isArray(entry['loc']) ? entry['loc'].join('.') : undefined;
    return { field: secrets.redact(String(entry['field'] ?? loc ?? '')), message: secrets.redact(String(entry['message'] ?? entry['msg'] ?? '')) };
  });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined;
  }
}

/** The error of a refusal, after `attempts` attempts. */
export function refusalError(refusal: Refusal, attempts: number, retryAfterMs: number | undefined): EmbedderError {
  const { status, message, code, requestId, fields } = refusal;
  const data: HostedErrorData = {
    status,
    ...(code === undefined ? {} : { code }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(fields.length === 0 ? {} : { fields }),
    attempts,
  };
  const named = code === undefined ? `${status}` : `${status} ${code}`;
  const tail = [attempts > 1 ? `after ${attempts} attempts` : '', requestId === undefined ? '' : `request ${requestId}`].filter((part) => part !== '').join(', ');
  const text = `The hosted API answered ${named}${message === '' ? '' : `: ${message}`}${tail === '' ? '' : ` (${tail})`}`;
  return new EmbedderError(codeOf(status, code), text, { data: { ...data } });
}

function codeOf(status: number, code: string | undefined): ErrorCode {
  if (status === 402 || (code !== undefined && QUOTA_CODES.test(code))) return 'HOSTED_QUOTA';
  if (status === 401 || status === 403) return 'HOSTED_AUTH';
  if (status === 429) return 'HOSTED_RATE_LIMIT';
  if (status === 408 || status === 504) return 'HOSTED_TIMEOUT';
  return status >= 500 ? 'HOSTED_SERVER' : 'HOSTED_REJECTED';
}
