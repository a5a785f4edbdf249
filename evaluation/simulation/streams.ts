import type { TunnelStream } from "../../playback/mod.ts";

const CHUNK = new Uint8Array(65_536).fill(7);

/** Keeps a stream's direction full. */
export function fill(stream: TunnelStream): void {
  const write = () => {
    while (stream.write(CHUNK) > 0);
  };
  stream.onWritable = write;
  write();
}

/** Writes so many bytes as fast as they are taken; `then` is called once the last one is. */
export function send(stream: TunnelStream, bytes: number, then?: () => void): void {
  let left = bytes;
  const write = () => {
    while (left > 0) {
      const taken = stream.write(CHUNK.subarray(0, Math.min(left, CHUNK.length)));
      if (taken === 0) return;
      left -= taken;
    }
    stream.onWritable = undefined;
    then?.();
  };
  stream.onWritable = write;
  write();
}

/** Reads all that comes, and counts it. */
export function drain(stream: TunnelStream): { readonly bytes: number } {
  const count = { bytes: 0 };
  const read = () => {
    for (let bytes = stream.read(); bytes; bytes = stream.read()) count.bytes += bytes.length;
  };
  stream.onReadable = read;
  read();
  return count;
}
