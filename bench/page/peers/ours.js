// This package, as built.
import { createEmbedder } from '/jina-embeddings-web/index.js';

/** A picture with something in every patch, the same every time. */
function picture([width, height]) {
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) image.data.set([x % 256, y % 256, (x ^ y) % 256, 255], 4 * (y * width + x));
  }
  return image;
}

export async function open({ model, vision, device, kernels }) {
  const embedder = await createEmbedder({ model: { text: model, vision }, device, ...(kernels && { kernels }) });
  const { adapter } = embedder.info;
  return {
    notes: [`device ${embedder.info.device}${adapter.name ? `: ${adapter.name}` : ''}`],
    async embed({ text, ids, picture: size }) {
      const { embedding, usage } = await embedder.encode(size ? { image: picture(size) } : text, { task: 'retrieval.passage' });
      if (ids && usage.tokens !== ids.length) throw new Error(`needed ${ids.length} tokens, found ${usage.tokens}`);
      return embedding;
    },
  };
}
