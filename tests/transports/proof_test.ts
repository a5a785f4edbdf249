import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ANSWER_LENGTH,
  clientSeal,
  formatSecret,
  HELLO_LENGTH,
  helloProof,
  isAnswer,
  judgeHello,
  keyId,
  knowUsers,
  MAX_SESSIONS,
  newSecret,
  parseSecret,
  ReplayCache,
  SecretError,
  TOKEN_BEHIND,
  TOKEN_LENGTH,
  TOKEN_WINDOW,
  TokenBook,
  tokenName,
  tokenProof,
  tunnelKey,
} from "../../transports/mimic/proof.ts";

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const FIRST = { session: 0, serial: 0 };
const nonce16 = fc.uint8Array({ minLength: 16, maxLength: 16 });

Deno.test("proof: a hello is recognised whatever follows it, and by its own secret only", () => {
  fc.assert(fc.property(
    fc.uniqueArray(bytes32, {
      minLength: 1,
      maxLength: 5,
      comparator: (a, b) => `${a}` === `${b}`,
    }),
    fc.nat(),
    bytes32,
    nonce16,
    fc.nat(MAX_SESSIONS - 1),
    fc.nat(31),
    fc.uint8Array(),
    (secrets, pick, certificate, nonce, session, serial, rest) => {
      const user = pick % secrets.length;
      const hello = helloProof(secrets[user]!, certificate, session, serial, nonce);
      assert.equal(hello.first.length, HELLO_LENGTH);
      assert.equal(hello.answer.length, ANSWER_LENGTH);
      const judged = judgeHello(new Uint8Array([...hello.first, ...rest]), certificate, secrets);
      assert.equal(judged?.user, user);
      assert.deepEqual([judged.session, judged.serial], [session, serial]);
      assert.deepEqual(judged.answer, hello.answer);
      assert.deepEqual(judged.nonce, nonce);
      const others = secrets.filter((_, index) => index !== user);
      assert.equal(judgeHello(hello.first, certificate, others), undefined);
    },
  ));
});

Deno.test("proof: one changed bit, another certificate or a cut hello are refused", () => {
  fc.assert(fc.property(
    bytes32,
    bytes32,
    nonce16,
    fc.nat(HELLO_LENGTH * 8 - 1),
    fc.nat(255),
    (secret, certificate, nonce, bit, other) => {
      const { first } = helloProof(secret, certificate, 0, 0, nonce);
      const changed = first.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(judgeHello(changed, certificate, [secret]), undefined);
      const another = certificate.slice();
      another[other >> 3]! ^= 1 << (other & 7);
      assert.equal(judgeHello(first, another, [secret]), undefined);
      assert.equal(judgeHello(first.subarray(0, bit >> 3), certificate, [secret]), undefined);
    },
  ));
});

Deno.test("proof: random bytes are never a hello nor a token", () => {
  const secret = newSecret();
  const book = new TokenBook<object>();
  book.add({}, newSecret(), new Uint8Array(32), FIRST);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      assert.equal(judgeHello(bytes, new Uint8Array(32), [secret]), undefined);
      assert.equal(book.redeem(bytes), undefined);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("proof: tokens whose making was put off are known, used once, and forgotten with their tunnel", () => {
  const later: (() => void)[] = [];
  const book = new TokenBook<object>(() => 1, (run) => later.push(run));
  const [certificate, key, tunnel] = [new Uint8Array(32), newSecret(), {}];
  const token = (serial: number) => tokenProof(key, certificate, 0, serial).first;
  book.add(tunnel, key, certificate, FIRST);
  assert.equal(book.redeem(token(3))?.serial, 3);
  assert.equal(book.redeem(token(3)), undefined);
  assert.equal(book.redeem(token(1))?.serial, 1);
  for (const run of later.splice(0)) run();
  assert.equal(book.redeem(token(3)), undefined);
  assert.equal(book.redeem(token(3 + TOKEN_WINDOW))?.serial, 3 + TOKEN_WINDOW);
  book.remove(tunnel);
  for (const run of later.splice(0)) run();
  assert.equal(book.size, 0);
});

Deno.test("proof: a token's name redeems it, once, and no other text does", () => {
  const book = new TokenBook<object>();
  const [certificate, key, tunnel] = [new Uint8Array(32), newSecret(), {}];
  const token = (serial: number) => tokenProof(key, certificate, 0, serial).first;
  book.add(tunnel, key, certificate, FIRST);
  for (let serial = 1; serial < 100; serial++) {
    const name = tokenName(token(serial));
    assert.match(name, /^[A-Za-z0-9_-]{9}$/);
    // The last letter is not among what tokens are found by.
    const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".split("").find((letter) => letter !== name[8])!;
    for (const other of [name.slice(0, 8), `${name}A`, `${name.slice(0, 8)}${last}`, ""]) {
      assert.equal(book.redeemNamed(other), undefined);
    }
    const redeemed = book.redeemNamed(name);
    assert.deepEqual([redeemed?.tunnel, redeemed?.session, redeemed?.serial], [tunnel, 0, serial]);
    assert.equal(book.redeemNamed(name), undefined);
    assert.equal(book.redeem(token(serial)), undefined);
  }
  assert.equal(book.redeem(token(100))?.serial, 100);
  assert.equal(book.redeemNamed(tokenName(token(100))), undefined);
  fc.assert(fc.property(fc.string({ maxLength: 20 }), (text) => {
    assert.equal(book.redeemNamed(text), undefined);
  }));
});

Deno.test("proof: each direction, kind and connection has a proof of its own", () => {
  const [secret, certificate] = [newSecret(), new Uint8Array(32)];
  const hello = helloProof(secret, certificate, 0, 0);
  const resumeKey = tunnelKey(secret, hello.nonce);
  const seen = [hello.first.subarray(20), hello.answer];
  for (let session = 0; session < 4; session++) {
    for (let serial = 0; serial < 4; serial++) {
      const { first, answer } = tokenProof(resumeKey, certificate, session, serial);
      seen.push(first, answer);
    }
  }
  assert.equal(new Set(seen.map((bytes) => `${bytes}`)).size, seen.length);
  assert.notDeepEqual(helloProof(secret, certificate, 0, 0).nonce, hello.nonce);
  assert.notDeepEqual(
    helloProof(secret, certificate, 0, 1, hello.nonce).answer,
    hello.answer,
  );
  assert.equal(keyId(secret).length, 4);
});

Deno.test("proof: both ends derive the same tunnel, another nonce another one", () => {
  fc.assert(fc.property(bytes32, nonce16, nonce16, (secret, a, b) => {
    assert.deepEqual(tunnelKey(secret, a), tunnelKey(secret, a.slice()));
    if (`${a}` !== `${b}`) assert.notDeepEqual(tunnelKey(secret, a), tunnelKey(secret, b));
    assert.equal(tunnelKey(secret, a).length, 32);
  }));
});

Deno.test("proof: replays are refused, within a bounded memory", () => {
  const cache = new ReplayCache(100);
  const nonce = (n: number) => new Uint8Array(new Uint32Array([n, 0, 0, 0]).buffer);
  for (let n = 0; n < 1000; n++) {
    assert.ok(cache.admit(nonce(n)));
    assert.ok(!cache.admit(nonce(n)));
    assert.ok(cache.size <= 100);
  }
  assert.ok(!cache.admit(nonce(950)));
});

Deno.test("proof: tokens are redeemed once, in any order within the window", () => {
  const order = fc.array(fc.tuple(fc.nat(3), fc.nat(40)), { maxLength: 100 });
  fc.assert(
    fc.property(order, (steps) => {
      const book = new TokenBook<{ name: string }>();
      const tunnel = { name: "a" };
      const [resumeKey, certificate] = [new Uint8Array(32).fill(7), new Uint8Array(32)];
      book.add(tunnel, resumeKey, certificate, FIRST);
      const highest = new Map<number, number>([[0, 0]]);
      const used = new Set<string>(["0 0"]);
      for (const [session, ahead] of steps) {
        const top = highest.get(session);
        const serial = Math.max(0, (top ?? 0) - 4 + ahead);
        const proof = tokenProof(resumeKey, certificate, session, serial);
        const redeemed = book.redeem(new Uint8Array([...proof.first, 1, 2, 3]));
        const expected = !used.has(`${session} ${serial}`) &&
          (top === undefined ? serial < 8 : serial <= top + TOKEN_WINDOW);
        assert.equal(redeemed !== undefined, expected);
        if (redeemed === undefined) continue;
        assert.deepEqual(
          [redeemed.tunnel, redeemed.session, redeemed.serial],
          [tunnel, session, serial],
        );
        assert.deepEqual(redeemed.answer, proof.answer);
        used.add(`${session} ${serial}`);
        highest.set(session, Math.max(top ?? 0, serial));
      }
      assert.ok(book.size <= 4 * (TOKEN_BEHIND + TOKEN_WINDOW + 1) + MAX_SESSIONS * 8);
      book.remove(tunnel);
      assert.equal(book.size, 0);
    }),
    { numRuns: 50 },
  );
});

Deno.test("proof: sessions follow one another for ever in bounded memory, a slow one is kept", () => {
  const known: { sessions?: number } = {};
  const book = new TokenBook<object>(() => known.sessions);
  const [key, certificate] = [new Uint8Array(32), new Uint8Array(32)];
  book.add({}, key, certificate, { session: 2, serial: 1 });
  assert.equal(book.redeem(tokenProof(key, certificate, 2, 1).first), undefined);
  assert.ok(book.redeem(tokenProof(key, certificate, 2, 0).first));
  known.sessions = 4;
  let largest = 0;
  for (let round = 0; round < 300; round++) {
    // Slot 0 plays a session a round, slot 1 stays in session 1 and then goes on to session 5.
    for (let serial = 0; serial < 3; serial++) {
      assert.ok(book.redeem(tokenProof(key, certificate, 4 * round, serial).first));
    }
    assert.ok(book.redeem(tokenProof(key, certificate, 1, round).first));
    largest = Math.max(largest, book.size);
  }
  assert.ok(book.redeem(tokenProof(key, certificate, 5, 0).first));
  assert.ok(largest <= 16 * 8 + 4 * (TOKEN_BEHIND + TOKEN_WINDOW), `${largest} tokens`);
});

Deno.test("proof: a connection that keeps silent while a hundred overtake it is expected still", () => {
  const book = new TokenBook<object>();
  const [key, certificate] = [new Uint8Array(32), new Uint8Array(32)];
  book.add({}, key, certificate, FIRST);
  const silent = 1;
  for (let serial = 2; serial < 110; serial++) {
    assert.ok(book.redeem(tokenProof(key, certificate, 0, serial).first));
  }
  assert.equal(book.redeem(tokenProof(key, certificate, 0, silent).first)?.serial, silent);
  assert.equal(book.redeem(tokenProof(key, certificate, 0, 109 + TOKEN_WINDOW).first)?.session, 0);
  assert.equal(book.redeem(tokenProof(key, certificate, 0, 300 + TOKEN_WINDOW).first), undefined);
});

Deno.test("proof: the connection that came by hello needs no token, and tunnels do not mix", () => {
  const book = new TokenBook<object>();
  const [one, two] = [{}, {}];
  const certificate = new Uint8Array(32);
  const keys = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  book.add(one, keys[0]!, certificate, FIRST);
  book.add(two, keys[1]!, certificate, FIRST);
  assert.equal(book.redeem(tokenProof(keys[0]!, certificate, 0, 0).first), undefined);
  assert.equal(book.redeem(tokenProof(keys[0]!, certificate, 0, 1).first)?.tunnel, one);
  assert.equal(book.redeem(tokenProof(keys[1]!, certificate, 0, 1).first)?.tunnel, two);
  book.remove(two);
  assert.equal(book.redeem(tokenProof(keys[1]!, certificate, 0, 2).first), undefined);
  assert.equal(
    book.redeem(tokenProof(keys[0]!, new Uint8Array(32).fill(9), 0, 2).first),
    undefined,
  );
  const half = tokenProof(keys[0]!, certificate, 0, 3).first.slice();
  half[TOKEN_LENGTH - 1]! ^= 1;
  assert.equal(book.redeem(half), undefined);
});

Deno.test("proof: what is sealed is opened, however it is cut; each connection has its own seal", () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 });
  fc.assert(fc.property(bytes32, bytes32, cuts, cuts, (key, certificate, sent, read) => {
    const text = new Uint8Array(sent.reduce((sum, cut) => sum + cut, 0)).map((_, i) => i);
    const cut = (bytes: Uint8Array, sizes: number[], seal: (bytes: Uint8Array) => Uint8Array) => {
      const pieces: number[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length]!;
        pieces.push(...seal(bytes.subarray(at, at + size)));
        at += size;
      }
      return new Uint8Array(pieces);
    };
    const sealed = cut(text, sent, clientSeal(key, certificate, 3, 4));
    assert.equal(sealed.length, text.length);
    assert.deepEqual(cut(sealed, read, clientSeal(key, certificate, 3, 4)), text);
    if (text.length < 32) return;
    assert.notDeepEqual(sealed, text);
    assert.notDeepEqual(cut(text, sent, clientSeal(key, certificate, 4, 3)), sealed);
  }));
});

Deno.test("proof: the server's answer is recognised, another is not", () => {
  const { answer } = helloProof(newSecret(), new Uint8Array(32), 0, 0);
  assert.ok(isAnswer(answer.slice(), answer));
  assert.ok(!isAnswer(answer.subarray(1), answer));
  for (let bit = 0; bit < 128; bit++) {
    const changed = answer.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    assert.ok(!isAnswer(changed, answer));
  }
});

Deno.test("proof: secrets are written and read as base64url", () => {
  const secret = newSecret();
  assert.deepEqual(parseSecret(formatSecret(secret), "secret="), secret);
  for (
    const bad of ["", "abc", `${formatSecret(secret)}=`, formatSecret(secret).replace(/./, "+")]
  ) {
    assert.throws(() => parseSecret(bad, "secret="), SecretError);
  }
});

Deno.test("proof: a stranger's bytes cost the same whatever the number of users, and users share key ids", () => {
  const secrets = Array.from({ length: 300 }, () => newSecret());
  let read = 0;
  const watched = new Proxy(secrets, {
    get(target, name) {
      if (typeof name === "string" && /^\d+$/.test(name)) read++;
      return Reflect.get(target, name);
    },
  });
  knowUsers(watched);
  const digest = new Uint8Array(32);
  read = 0;
  assert.equal(judgeHello(crypto.getRandomValues(new Uint8Array(100)), digest, watched), undefined);
  assert.equal(read, 0, "no secret is looked at for a stranger");
  for (const user of [0, 150, 299]) {
    const { first } = helloProof(secrets[user]!, digest, 0, 0);
    assert.equal(judgeHello(first, digest, watched)?.user, user);
  }
  // The same key id twice: the place of the first that made the hello counts.
  const twice = [secrets[0]!, secrets[1]!, secrets[0]!];
  assert.equal(judgeHello(helloProof(secrets[0]!, digest, 0, 0).first, digest, twice)?.user, 0);
});
