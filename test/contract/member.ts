import {
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type JoinString, JoinStringSchema } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import {
  EnrollmentService,
  type JoinRequest,
  JoinRequestSchema,
  type JoinResponse,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { connectTo, fetchTrustBundle } from "@cloudvlan/kit/client";
import { type CvlanId, isId, type NodeId, type TenantId } from "@cloudvlan/kit/ids";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { descendsFromPinned } from "@cloudvlan/kit/sign";
import { createClient, type Transport } from "@connectrpc/connect";
import type { Credential } from "./certificates.ts";

const PREFIX = "cvlan1.";
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
const PROOF_CONTEXT = "cloudvlan/join/v1";

/** An X25519 key pair; the public half raw, 32 bytes. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: Uint8Array;
}

/** The keys a machine makes before it joins. */
export interface MachineKeys {
  /** PEM. */
  readonly tls: string;
  /** DER. */
  readonly csr: Uint8Array;
  readonly wireguard: KeyPair;
  readonly control: KeyPair;
}

/** A node that joined for real, with everything its agent and engine would keep. */
export interface Member {
  readonly tenantId: TenantId;
  readonly cvlanId: CvlanId;
  readonly nodeId: NodeId;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly credential: Credential;
  /** Pinned by the join string. */
  readonly rootPublicKey: Uint8Array;
  readonly keys: MachineKeys;
  readonly joinString: string;
  readonly answer: JoinResponse;
}

export function newKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const spki = publicKey.export({ type: "spki", format: "der" });
  return { privateKey, publicKey: new Uint8Array(spki.subarray(X25519_SPKI.length)) };
}

export async function newMachineKeys(): Promise<MachineKeys> {
  const tls = newTlsKey();
  return { tls, csr: await createCsr(tls), wireguard: newKeyPair(), control: newKeyPair() };
}

export function parseJoinString(text: string): JoinString {
  if (!text.startsWith(PREFIX)) throw new Error("this is no join string");
  return fromBinary(JoinStringSchema, Buffer.from(text.slice(PREFIX.length), "base64url"));
}

export function formatJoinString(joinString: JoinString): string {
  return PREFIX + Buffer.from(toBinary(JoinStringSchema, joinString)).toString("base64url");
}

const sha256 = (data: Uint8Array): Buffer => createHash("sha256").update(data).digest();

function transcriptOf(tokenId: string, keys: MachineKeys): Buffer {
  const parts = [Buffer.from(tokenId), sha256(keys.csr), keys.wireguard.publicKey, keys.control.publicKey];
  const hash = createHash("sha256");
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return hash.digest();
}

/** Proof of possession as `JoinRequest` defines it. */
function proofOf(
  label: "wireguard" | "control",
  privateKey: KeyObject,
  serverKey: Uint8Array,
  salt: Uint8Array,
  transcript: Buffer,
): Uint8Array {
  const publicKey = createPublicKey({ key: Buffer.concat([X25519_SPKI, serverKey]), format: "der", type: "spki" });
  const shared = diffieHellman({ privateKey, publicKey });
  const key = Buffer.from(hkdfSync("sha256", shared, salt, PROOF_CONTEXT, 32));
  return new Uint8Array(createHmac("sha256", key).update(`${PROOF_CONTEXT}\0${label}`).update(transcript).digest());
}

/** A whole join request with fresh proofs. */
export async function joinRequest(
  transport: Transport,
  joinString: string,
  keys: MachineKeys,
  name: string,
): Promise<JoinRequest> {
  const { tenantId, tokenId, secret } = parseJoinString(joinString);
  const { serverPublicKey, challenge } = await createClient(EnrollmentService, transport).beginJoin({});
  const transcript = transcriptOf(tokenId, keys);
  return create(JoinRequestSchema, {
    tenantId,
    tokenId,
    secret,
    challenge,
    csr: keys.csr,
    wireguardPublicKey: keys.wireguard.publicKey,
    wireguardProof: proofOf("wireguard", keys.wireguard.privateKey, serverPublicKey, challenge, transcript),
    controlPublicKey: keys.control.publicKey,
    controlProof: proofOf("control", keys.control.privateKey, serverPublicKey, challenge, transcript),
    name,
    capabilityVersion: 1,
  });
}

/** Checks an answer against what the join string pins. */
export function memberOf(joinString: string, keys: MachineKeys, answer: JoinResponse): Member {
  const { node, certificate, rootPublicKey, rootTransitions } = answer;
  if (!node || !certificate) throw new Error("the answer lacks a node or a certificate");
  const isPinned = (key: Uint8Array): boolean => sha256(key).equals(parseJoinString(joinString).rootKeySha256);
  if (!descendsFromPinned(node.tenantId, isPinned, rootTransitions, rootPublicKey)) {
    throw new Error("the root key is not the one that the join string pins");
  }
  const { id: nodeId, tenantId, cvlanId, name, addresses } = node;
  if (!isId("node", nodeId) || !isId("tenant", tenantId) || !isId("cvlan", cvlanId)) throw new Error("an id is odd");
  const credential = { certificate: certificate.chain, key: keys.tls };
  return { tenantId, cvlanId, nodeId, name, addresses, credential, rootPublicKey, keys, joinString, answer };
}

/** Joins over TCP as a machine does that knows nothing but the join string. */
export async function join(joinString: string, name: string, machine?: MachineKeys): Promise<Member> {
  const keys = machine ?? (await newMachineKeys());
  const { url, caSha256 } = parseJoinString(joinString);
  const connection = connectTo(url, { roots: await fetchTrustBundle(url, caSha256) });
  try {
    const request = await joinRequest(connection, joinString, keys, name);
    const answer = await createClient(EnrollmentService, connection).join(request);
    return memberOf(joinString, keys, answer);
  } finally {
    connection.close();
  }
}
