// The same verification by the npm packages jose and fast-jwt, for the side-by-side run of token_peers: docs/performance.md.
//
//   node token_peers.mjs FOLDER_OF_PACKAGES
//
// Prints microseconds of processor time a verification, and signatures a second, the best of several rounds each.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { generateKeyPairSync } from "node:crypto";

const require = createRequire(process.argv[2] + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const jose = await load("jose");
const fastJwt = (await load("fast-jwt")).default;

const now = Math.floor(Date.now() / 1000);
const claims = {
  iss: "bulkhead",
  aud: "bulkhead",
  sub: "user-3k9x2m7q1v8b5n4c",
  sid: "session-7h2k9d4s1a6f3g8j",
  jti: "token-5t8y2u1i9o4p7l3k",
  roles: ["member"],
  perms: ["tool:*:invoke", "run:own:*", "file:own:*", "event:own:read", "agent:own:*"],
  iat: now,
  nbf: now,
  exp: now + 900,
};
const pairs = {
  EdDSA: () => generateKeyPairSync("ed25519"),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
};

const ROUNDS = 7;
const ROUND_MS = 150;

// Processor time of all threads of the process, as jose works on several: the best round, in microseconds an operation.
async function measure(operation) {
  for (let i = 0; i < 200; i++) await operation();
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    let count = 0;
    const cpu = process.cpuUsage();
    for (const end = performance.now() + ROUND_MS; performance.now() < end; count += 20) {
      for (let i = 0; i < 20; i++) await operation();
    }
    const used = process.cpuUsage(cpu);
    best = Math.min(best, (used.user + used.system) / count);
  }
  return best;
}

function verifierOf(options, token) {
  const verify = fastJwt.createVerifier(options);
  return () => verify(token);
}

function print(what, microseconds) {
  console.log(`${what.padEnd(34)}${microseconds.toFixed(2).padStart(10)} us${Math.round(1e6 / microseconds).toString().padStart(12)} /s`);
}

for (const [alg, make] of Object.entries(pairs)) {
  const { publicKey, privateKey } = make();
  const header = { alg, kid: "key-1", typ: "at+jwt" };
  const sign = () => new jose.SignJWT(claims).setProtectedHeader(header).sign(privateKey);
  const token = await sign();
  const jwks = jose.createLocalJWKSet({ keys: [{ ...(await jose.exportJWK(publicKey)), kid: "key-1", alg }] });
  const options = { issuer: "bulkhead", audience: "bulkhead", typ: "at+jwt", algorithms: [alg], clockTolerance: 30 };
  print(`jose verify ${alg}`, await measure(() => jose.jwtVerify(token, jwks, options)));

  const pem = publicKey.export({ type: "spki", format: "pem" });
  const fast = { key: pem, algorithms: [alg], allowedIss: "bulkhead", allowedAud: "bulkhead", clockTolerance: 30000 };
  print(`fast-jwt verify ${alg}`, await measure(verifierOf({ ...fast, cache: false }, token)));
  print(`fast-jwt verify ${alg}, cached`, await measure(verifierOf({ ...fast, cache: 1000 }, token)));
  if (alg === "EdDSA" || alg === "ES256") {
    print(`jose sign ${alg}`, await measure(sign));
    const signer = fastJwt.createSigner({ key: privateKey.export({ type: "pkcs8", format: "pem" }), algorithm: alg, kid: "key-1", header: { typ: "at+jwt" } });
    print(`fast-jwt sign ${alg}`, await measure(() => signer(claims)));
  }
}
