// The script of the search worker.
import { serveSearch } from '#search-engine';

serveSearch(globalThis as unknown as Parameters<typeof serveSearch>[0]);
