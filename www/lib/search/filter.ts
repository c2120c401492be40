// From the filter that a page writes to the one that the index reads.

import type { Scalar as FaceScalar, Filter as FaceFilter } from './face.js';
import { EmbedderError, isRecord } from '../errors.js';
import type { Filter } from './types.js';
import { DOCUMENT, KIND } from './records.js';

const BOUNDS = ['gte', 'gt', 'lte', 'lt'] as const;

/** Fails with `INPUT_INVALID` naming the field. */
export function compileFilter(filter: Filter): FaceFilter {
  if (!isRecord(filter) || Array.isArray(filter)) throw invalid('a filter must be an object', filter);
  const all = Object.entries(filter).filter(([, value]) => value !== undefined).map(([key, value]) => clause(key, value));
  return all.length === 1 && all[0] !== undefined ? all[0] : { and: all };
}

function clause(key: string, value: unknown): FaceFilter {
  switch (key) {
    case '$and':
    case '$or': {
      if (!Array.isArray(value)) throw invalid(`\`${key}\` needs a list of filters`, value);
      const filters = value.map((each) => compileFilter(each as Filter));
      return key === '$and' ? { and: filters } : { or: filters };
    }
    case '$not':
      return { not: compileFilter(value as Filter) };
    case '$id':
      return condition(DOCUMENT, value, key);
    case '$kind':
      return condition(KIND, value, key);
  }
  if (key.startsWith('$') || key.startsWith('_')) throw invalid(`there is no field "${key}"`, value);
  return condition(key, value, key);
}

function condition(field: string, value: unknown, shown: string): FaceFilter {
  if (value === null || isScalar(value)) return { field, equals: value };
  if (isRecord(value) && !Array.isArray(value)) {
    const keys = Object.keys(value).filter((key) => value[key] !== undefined);
    if (keys.length === 1 && keys[0] === 'in' && Array.isArray(value['in']) && value['in'].every(isScalar)) return { field, in: value['in'] };
    if (keys.length === 1 && keys[0] === 'not') return { not: condition(field, value['not'], shown) };
    if (keys.length > 0 && keys.every((key) => (BOUNDS as readonly string[]).includes(key) && (typeof value[key] === 'number' || typeof value[key] === 'string'))) {
      return { field, ...Object.fromEntries(keys.map((key) => [key, value[key]])) } as FaceFilter;
    }
  }
  throw invalid(`the condition on "${shown}" must be a value, null, { in }, { not }, or bounds of gte, gt, lte, lt`, value);
}

function isScalar(value: unknown): value is FaceScalar {
  return typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && !Number.isNaN(value));
}

function invalid(needed: string, found: unknown): EmbedderError {
  return new EmbedderError('INPUT_INVALID', `${needed}; found ${JSON.stringify(found)}`);
}
