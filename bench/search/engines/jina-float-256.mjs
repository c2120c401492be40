import { jinaEngine } from './jina.mjs';

export default jinaEngine('first 256 numbers and rescoring', { kind: 'float32', dimensions: 256 }, [{ name: 'default', query: {} }]);
