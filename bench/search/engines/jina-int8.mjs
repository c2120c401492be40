import { jinaEngine } from './jina.mjs';

export default jinaEngine('int8 and rescoring', { kind: 'int8' }, [{ name: 'default', query: {} }]);
