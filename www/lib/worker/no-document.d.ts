// The public types name elements of a page, which a worker never meets. This stands in for them where
// the engine is checked against the worker's library alone.
interface HTMLCanvasElement {
  readonly width: number;
}
interface HTMLImageElement {
  readonly complete: boolean;
}
