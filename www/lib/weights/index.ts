// Where weights come from, and where they are kept: a file of its own in the package, which the engine
// loads with it, and the page when it asks what lies here.

export { sha256Hex } from '../digest.js';
export { planModel } from '../plan-model.js';
export { cachedWeights, clearWeights } from './cached.js';
export { downloadOf } from './download-size.js';
export { Keeper, type KeeperHooks } from './keeper.js';
export { bytesOf, descriptionsIn, hashOfText } from './kept.js';
export { loadFile, ROOMS, type FileHooks } from './load-file.js';
export { openWeightStore } from './open-store.js';
export { isParted } from './parted-store.js';
export { remoteFacts, type RemoteFacts } from './remote-facts.js';
export { Rooms } from './rooms.js';
export { StoreThread } from './store-thread.js';
