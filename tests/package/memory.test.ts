// What a model takes of the graphics device, what the device may give, and which buffers are destroyed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferLedger } from '../../www/lib/engine/buffers.js';
import { memoryNeed, probeMemory, staticBudget } from '../../www/lib/memory-need.js';
import { PIECE_BYTES, type ModelPlan } from '../../www/lib/model-files.js';

const GB = 1e9;

function plan(roles: readonly ('text' | 'vision')[]): ModelPlan {
  return {
    files: roles.map((role) => ({ role, name: role, source: { url: `https://weights.test/${role}` }, nBytes: undefined, sha256: undefined, pieceBytes: PIECE_BYTES, hashes: undefined })),
    name: 'v4', licence: undefined, space: undefined,
  };
}

describe('what a model takes', () => {
  test('is its files and 15 %, and what work adds', () => {
    const { weightBytes, scratchBytes, peakBytes, promisedTokens } = memoryNeed(plan(['text', 'vision']), [1.9 * GB, 0.2 * GB]);
    assert.equal(weightBytes, Math.ceil(2.1 * GB * 1.15));
    assert.equal(peakBytes, (weightBytes ?? 0) + scratchBytes);
    assert.equal(promisedTokens, 1024);
    assert.ok(scratchBytes > 0.1 * GB && scratchBytes < 0.5 * GB, String(scratchBytes));
  });

  test('is less without pictures', () => {
    assert.ok(memoryNeed(plan(['text']), [1]).scratchBytes < memoryNeed(plan(['text', 'vision']), [1, 1]).scratchBytes);
  });

  test('is not known where a size is not', () => {
    const { weightBytes, peakBytes } = memoryNeed(plan(['text', 'vision']), [1.9 * GB, undefined]);
    assert.deepEqual([weightBytes, peakBytes], [null, null]);
  });
});

describe('a budget', () => {
  const machines = {
    'an iPhone': [{ userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1', maxTouchPoints: 5 }, 700_000_000],
    'an iPad that says it is a Mac': [{ userAgent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15', maxTouchPoints: 5 }, 1_500_000_000],
    'an Android phone': [{ userAgent: 'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36', maxTouchPoints: 5 }, 1_500_000_000],
    'a phone that hides its name': [{ userAgent: '', userAgentData: { mobile: true } }, 1_500_000_000],
    'a Mac': [{ userAgent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15', maxTouchPoints: 0 }, null],
    'a PC with a touch screen': [{ userAgent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36', maxTouchPoints: 10, userAgentData: { mobile: false } }, null],
    'a server': [undefined, null],
  } as const;
  for (const [name, [machine, budget]] of Object.entries(machines)) {
    test(`of ${name} is ${budget === null ? 'what it gives when asked' : `${budget / 1e6} MB`}`, () => assert.equal(staticBudget(machine ?? {}), budget));
  }
});

describe('the probe', () => {
  /** A device of so many bytes. */
  function device(room: number, maxBufferSize = 2 ** 28): { asked: number[]; destroyed: number; scopes: number; device: Parameters<typeof probeMemory>[0] } {
    const state = { asked: [] as number[], destroyed: 0, scopes: 0, device: undefined as never as Parameters<typeof probeMemory>[0] };
    let refused = false;
    state.device = {
      limits: { maxBufferSize },
      pushErrorScope: () => void state.scopes++,
      popErrorScope: async () => {
        // The inner scope is the one for memory.
        const isInner = state.scopes-- === 2;
        return isInner && refused ? { message: 'not enough' } : null;
      },
      createBuffer: ({ size }) => {
        state.asked.push(size);
        room -= size;
        refused ||= room < 0;
        return { destroy: () => void state.destroyed++ };
      },
    };
    return state;
  }

  test('reserves all of it in buffers that every device can make, and gives all of it back', async () => {
    const state = device(3 * GB);
    assert.equal(await probeMemory(state.device, 2.5 * GB), undefined);
    assert.equal(state.asked.reduce((sum, size) => sum + size, 0), 2.5 * GB);
    assert.ok(state.asked.every((size) => size <= 2 ** 28 && size % 4 === 0));
    assert.deepEqual([state.destroyed, state.scopes], [state.asked.length, 0]);
  });

  test('says why there is not enough, and gives back what there was', async () => {
    const state = device(1 * GB);
    assert.equal(await probeMemory(state.device, 2.5 * GB), 'not enough');
    assert.deepEqual([state.destroyed, state.scopes], [state.asked.length, 0]);
  });

  test('that throws is a refusal too', async () => {
    const state = device(GB);
    const broken = { ...state.device, createBuffer: () => { throw new RangeError('too large'); } };
    assert.match((await probeMemory(broken, GB)) ?? '', /too large/);
  });
});

describe('a buffer', () => {
  interface Made { readonly size: number; readonly usage: number; isDestroyed: boolean; destroy(): void }

  function ledger(): { make: (size: number) => Made; table: WebAssembly.Table; ledger: BufferLedger } {
    const device = {
      createBuffer: ({ size, usage }: { size: number; usage: number }): Made => ({ size, usage, isDestroyed: false, destroy() { this.isDestroyed = true; } }),
    };
    const table = new WebAssembly.Table({ initial: 8, element: 'externref' });
    const counted = new BufferLedger(device, { __wbindgen_externrefs: table });
    return { make: (size) => device.createBuffer({ size, usage: 0x80 }), table, ledger: counted };
  }

  test('that the module holds stays, and one that it dropped is destroyed', () => {
    const { make, table, ledger: counted } = ledger();
    const [held, dropped] = [make(100), make(30)];
    table.set(5, held);
    assert.equal(counted.bytes, 130);
    counted.sweep();
    assert.deepEqual([held.isDestroyed, dropped.isDestroyed, counted.bytes, counted.peakBytes], [false, true, 100, 130]);
    table.set(5, null);
    counted.sweep();
    assert.deepEqual([held.isDestroyed, counted.bytes, counted.peakBytes], [true, 0, 130]);
  });

  test('that somebody else destroys is counted once', () => {
    const { make, ledger: counted } = ledger();
    const buffer = make(100);
    buffer.destroy();
    buffer.destroy();
    counted.destroyAll();
    assert.equal(counted.bytes, 0);
  });

  test('is destroyed with all others at the end', () => {
    const { make, table, ledger: counted } = ledger();
    const buffers = [make(1), make(2), make(3)];
    buffers.forEach((buffer, i) => table.set(i, buffer));
    counted.destroyAll();
    assert.ok(buffers.every(({ isDestroyed }) => isDestroyed));
    assert.equal(counted.bytes, 0);
    // Of work that nobody waits for any more.
    assert.equal(make(4).isDestroyed, true);
    assert.equal(counted.bytes, 0);
  });
});
