import assert from "node:assert/strict";
import { ownHello } from "../../bench/probes.ts";
import { exemptionsOf } from "../../evaluation/fully_encrypted.ts";

const text = (from: string) => new TextEncoder().encode(from);

Deno.test("fully encrypted: what carriers send first is let pass, each by its own protocol", async () => {
  assert.ok(exemptionsOf(await ownHello()).includes("TLS"));
  assert.ok(exemptionsOf(text("EHLO client.example\r\n")).includes("printable beginning"));
  assert.ok(exemptionsOf(text("SSH-2.0-OpenSSH_9.2p1\r\n")).includes("printable beginning"));
  assert.ok(exemptionsOf(text("GET / HTTP/1.1\r\n\r\n")).includes("HTTP"));
});

Deno.test("fully encrypted: random bytes are not", () => {
  let exempt = 0;
  for (let i = 0; i < 200; i++) {
    if (exemptionsOf(crypto.getRandomValues(new Uint8Array(1000))).length > 0) exempt++;
  }
  // Six printable bytes to begin with: (95/256)^6 = 0.3 %.
  assert.ok(exempt <= 10, `${exempt} of 200`);
});

Deno.test("fully encrypted: each rule by itself", () => {
  const filler = Array.from({ length: 100 }, (_, i) => 128 + (i * 61) % 128);
  assert.deepEqual(exemptionsOf(new Uint8Array(100)), ["bits"]);
  assert.deepEqual(exemptionsOf(new Uint8Array(100).fill(255)), ["bits"]);
  assert.deepEqual(exemptionsOf(new Uint8Array([...text("abcdef"), ...filler])), [
    "printable beginning",
  ]);
  assert.deepEqual(exemptionsOf(new Uint8Array([...filler, ...text("a".repeat(21)), ...filler])), [
    "printable run",
  ]);
  assert.deepEqual(exemptionsOf(new Uint8Array([0x17, 3, 3, ...filler])), ["TLS"]);
  assert.deepEqual(exemptionsOf(new Uint8Array(0)), []);
});
