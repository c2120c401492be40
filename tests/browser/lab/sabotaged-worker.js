// The package's worker, with a device that can be broken on command.
import './sabotage.js';
import '/jina-embeddings-web/worker.js';
