// The worker's script: the engine, at the worker's end of the channel.
import { serve } from '#engine';

serve(self as unknown as Parameters<typeof serve>[0]);
