// Takes the place of the generated module, for `worker: false`.
import { fakeFace } from './fake-face.js';

const face = fakeFace();
export default face.default;
export const create_device = face.create_device;
export const ModelLoader = face.ModelLoader;
export const log = face.log;
export const emit = face.emit;
export const behaviour = face.behaviour;
