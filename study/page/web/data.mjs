// Unpack the page's data, which `study/page/pack.py` packed.

const ARRAYS = {
  f4: Float32Array,
  f8: Float64Array,
  i4: Int32Array,
  u1: Uint8Array,
  u2: Uint16Array,
};

/** Return the bytes that a text in base64 stands for. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Return the bytes of a deflated text (with zlib's header). */
async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** Return the packed value: objects, lists, texts, numbers and typed arrays. */
export async function unpacked(text) {
  const buffer = await inflated(bytesOf(text.trim()));
  const start = 4 + new DataView(buffer).getUint32(0, true);
  const head = new TextDecoder().decode(new Uint8Array(buffer, 4, start - 4));
  return JSON.parse(head, (_, part) => {
    if (!part?.$) return part;
    const [kind, first, n] = part.$;
    return new ARRAYS[kind](buffer, start + first, n);
  });
}
