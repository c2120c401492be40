import { jinaEngine } from './jina.mjs';

export default jinaEngine('int8 of 256 numbers and rescoring', { kind: 'int8', dimensions: 256 }, [{ name: 'default', query: {} }]);
