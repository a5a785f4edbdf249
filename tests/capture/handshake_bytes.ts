/** Bytes of handshakes as real programs send them, ciphertext zeroed, made for the tests. */

/** Joins byte arrays. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A TLS record of `size` bytes on the wire; its body is `head` and zeros. */
export function record(type: number, size: number, head: readonly number[] = []): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set([type, 3, 3, (size - 5) >> 8, (size - 5) & 255]);
  bytes.set(head, 5);
  return bytes;
}

/** Encrypted application data. */
export const data = (size: number): Uint8Array => record(23, size);
/** ChangeCipherSpec. */
export const changeCipherSpec = (): Uint8Array => record(20, 6, [1]);

/** A ClientHello of `size` bytes on the wire. */
export function clientHello(size = 517): Uint8Array {
  return record(22, size, [1, 0, (size - 9) >> 8, (size - 9) & 255, 3, 3]);
}

/** A ServerHello for TLS 1.2 or 1.3 with the given cipher suite. */
export function serverHello(version: "1.2" | "1.3", cipher = 0x1302): Uint8Array {
  const extensions = version === "1.3" ? [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 29] : [0, 23, 0, 0];
  const body = [
    ...[3, 3],
    ...new Array<number>(32).fill(9),
    0,
    cipher >> 8,
    cipher & 255,
    0,
    0,
    extensions.length,
    ...extensions,
  ];
  return record(22, 5 + 4 + body.length, [2, 0, 0, body.length, ...body]);
}

/** What client and server send in turn during a TLS 1.3 handshake as OpenSSL does it. */
export const tls13 = {
  hello: clientHello(),
  flight: join(
    serverHello("1.3"),
    changeCipherSpec(),
    data(28),
    data(420),
    data(100),
    data(74),
  ),
  finished: join(changeCipherSpec(), data(74)),
  tickets: join(data(255), data(255)),
};

/** A full TLS 1.2 handshake. */
export const tls12 = {
  hello: clientHello(220),
  flight: join(
    serverHello("1.2", 0xc02f),
    record(22, 3000, [11]),
    record(22, 150, [12]),
    record(22, 9, [14]),
  ),
  finished: join(record(22, 42, [16]), changeCipherSpec(), record(22, 45)),
  answer: join(record(22, 207, [4]), changeCipherSpec(), record(22, 45)),
};

/** Text as bytes. */
export function text(line: string): Uint8Array {
  return new TextEncoder().encode(line);
}

/** An SSH binary packet of `size` bytes on the wire with the message number `type`. */
export function sshPacket(type: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, size - 4);
  bytes[4] = 6;
  bytes[5] = type;
  return bytes;
}
