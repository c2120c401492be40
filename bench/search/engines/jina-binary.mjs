import { jinaEngine } from './jina.mjs';

export default jinaEngine('binary and rescoring', { kind: 'binary' }, [{ name: 'default', query: {} }]);
