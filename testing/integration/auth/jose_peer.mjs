// Signs and verifies with the npm package jose, for jose_test.cc.
//
//   node jose_peer.mjs FOLDER_OF_PACKAGES < TASKS > RESULTS      (a JSON array each)
//
// {op: "sign", alg, kid, claims, header?}        -> {jwk, token}: with a new key; jwk is its public part
// {op: "verify", jwks, token, options}           -> {payload, header} or {error}: by jwtVerify with that key set; options.now in seconds
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const require = createRequire(process.argv[2] + "/");
const jose = await import(pathToFileURL(require.resolve("jose")));

const operations = {
  async sign({ alg, kid, claims, header }) {
    const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true, crv: alg === "EdDSA" ? "Ed25519" : undefined });
    const token = await new jose.SignJWT(claims).setProtectedHeader({ alg, kid, typ: "JWT", ...header }).sign(privateKey);
    return { jwk: { ...(await jose.exportJWK(publicKey)), kid }, token };
  },

  async verify({ jwks, token, options }) {
    const { now, ...rest } = options;
    try {
      const { payload, protectedHeader } = await jose.jwtVerify(token, jose.createLocalJWKSet(jwks), { ...rest, currentDate: new Date(now * 1000) });
      return { payload, header: protectedHeader };
    } catch (error) {
      return { error: error.code ?? String(error) };
    }
  },
};

const results = [];
for (const { op, ...task } of JSON.parse(await text(process.stdin))) {
  results.push(await operations[op](task));
}
process.stdout.write(JSON.stringify(results));
