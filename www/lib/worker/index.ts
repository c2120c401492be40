// The worker's script: the engine, at the worker's end of the channel.
import { serveFromWorker } from '#engine';

serveFromWorker(self as unknown as Parameters<typeof serveFromWorker>[0]);
