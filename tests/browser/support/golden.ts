// The goldens of the reference implementation (tests/fixtures), as inputs and options of `encode`.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GOLDEN } from './paths';
import { Safetensors } from './safetensors';
import type { LabInput, Task } from './lab';

export const DIMS = [16, 32, 64] as const;

interface TextCase { id: string; text_id: string; task: string; prompt_name: 'query' | 'passage'; n_tokens: number; multi_stored: boolean }
interface ImageCase { id: string; file: string; max_pixels: number | null; tasks: string[] }

const json = <T>(name: string): T => JSON.parse(readFileSync(join(GOLDEN, name), 'utf8')) as T;

const inputs = json<{ texts: Record<string, string> }>('inputs.json');
const text = json<{ cases: TextCase[]; truncation: Array<{ text_id: string; max_length: number }>; late_chunking: { chunks: string[] } }>('text.json');

export const TEXTS: Readonly<Record<string, string>> = inputs.texts;
export const TEXT_GOLDEN = new Safetensors(join(GOLDEN, 'text.safetensors'));
export const IMAGE_GOLDEN = new Safetensors(join(GOLDEN, 'image.safetensors'));
export const TRUNCATION = text.truncation;
export const CHUNKS: readonly string[] = text.late_chunking.chunks;

/**
 * The reference pools only the span between vision tokens, wherever they come from; here a user's text cannot switch
 * the pooling (issue "Text", README), so this text has no golden.
 */
const WITHOUT_GOLDEN = new Set(['hazard_vision_in_text']);

/** The task names of `encode` for the reference's task and prompt. */
export function taskOf(task: string, prompt: 'query' | 'passage'): Task {
  return (task === 'text-matching' ? task : `${task}.${prompt}`) as Task;
}

/** The text cases by task, so that each task is one call. */
export function textCasesByTask(): Map<Task, TextCase[]> {
  const by_task = new Map<Task, TextCase[]>();
  for (const each of text.cases) {
    if (WITHOUT_GOLDEN.has(each.text_id)) continue;
    const task = taskOf(each.task, each.prompt_name);
    by_task.set(task, [...(by_task.get(task) ?? []), each]);
  }
  return by_task;
}

export interface ImageGroup { task: Task; reference_task: string; max_pixels: number | undefined; cases: Array<{ id: string; input: LabInput }> }

/** The picture cases, one group per task and pixel limit. */
export function imageGroups(): ImageGroup[] {
  const groups = new Map<string, ImageGroup>();
  for (const each of json<ImageCase[]>('image.json')) {
    for (const reference_task of each.tasks) {
      const key = `${reference_task} ${each.max_pixels}`;
      const group = groups.get(key) ?? { task: taskOf(reference_task, 'passage'), reference_task, max_pixels: each.max_pixels ?? undefined, cases: [] };
      group.cases.push({ id: each.id, input: { image: `/fixtures/tiny/golden/${each.file}` } });
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}
