import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Rooms } from '../../www/lib/weights/rooms.js';

const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the buffers that pieces lie in', () => {
  test('there are so many and no more, and who asks for another one waits', async () => {
    const rooms = new Rooms(2);
    const [a] = [await rooms.take(8), await rooms.take(8)];
    const got: ArrayBuffer[] = [];
    for (let i = 0; i < 2; i++) void rooms.take(8).then((room) => got.push(room));
    await settled();
    assert.equal(got.length, 0);
    rooms.give(a);
    await settled();
    assert.deepEqual(got, [a]);
    assert.equal(got[0], a);
    rooms.give(undefined);
    await settled();
    assert.equal(got.length, 2, 'one that was lost is made anew');
  });

  test('one that is too small is replaced', async () => {
    const rooms = new Rooms(1);
    rooms.give(await rooms.take(4));
    assert.equal((await rooms.take(16)).byteLength, 16);
  });

  test('whoever takes one before those who wait leaves nobody waiting for ever', async () => {
    const rooms = new Rooms(1);
    const first = await rooms.take(4);
    const order: string[] = [];
    const waiter = rooms.take(4).then((room) => (order.push('waited'), rooms.give(room)));
    rooms.give(first);
    const quick = rooms.take(4).then((room) => (order.push('came later'), rooms.give(room)));
    await Promise.all([waiter, quick]);
    assert.equal(order.length, 2);
  });
});
