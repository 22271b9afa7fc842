import { fromBinary } from "@bufbuild/protobuf";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { SigningKey } from "@cloudvlan/kit/sign";
import type { TrustedKeyset } from "../domain/keyset.ts";
import type { NetmapContext } from "./context.ts";

/** A keyset, and a key of it that signs heads. */
export interface Pair {
  readonly keyset: TrustedKeyset;
  readonly key: SigningKey;
}

/** Times that a map is read again because the keyset changed meanwhile. */
const LOADS = 3;

/**
 * What the streams of a map are served with. It follows the keyset of auth no sooner than the map in memory does: a node
 * drops what no key of its keyset signed, and refuses what a key signed that it has not heard of.
 */
export class Serving {
  readonly #context: NetmapContext;
  readonly #tenantId: TenantId;
  #pair: Pair | undefined;
  /** Version of a keyset that has the key of every record in memory. */
  #needed = 0n;

  constructor(context: NetmapContext, tenantId: TenantId) {
    this.#context = context;
    this.#tenantId = tenantId;
  }

  /** Undefined before the first, and while there is a record in memory for which it has no key. */
  get pair(): Pair | undefined {
    return this.isReady ? this.#pair : undefined;
  }

  get isReady(): boolean {
    return this.version >= this.#needed;
  }

  /** Of the keyset; 0 before the first. */
  get version(): bigint {
    return this.#pair?.keyset.version ?? 0n;
  }

  /** What `read` says, and the pair for it. */
  async readToServe<T extends { readonly keyset: TrustedKeyset }>(
    read: () => Promise<T>,
  ): Promise<{ readonly loaded: T; readonly pair: Pair }> {
    for (let attempt = 0; attempt < LOADS; attempt++) {
      const loaded = await read();
      const pair = await this.#pairOf(loaded.keyset);
      if (pair) return { loaded, pair };
    }
    throw new Error("the keyset changes again and again");
  }

  begin(pair: Pair): void {
    this.#pair = pair;
  }

  /**
   * @param newest known before the tables were last read: a key leaves the keyset after its records left the tables.
   * @returns true when it is served from here on.
   */
  async follow(newest: TrustedKeyset): Promise<boolean> {
    if (newest.version <= this.version) return false;
    const pair = await this.#pairOf(newest);
    if (!pair) return false;
    this.#pair = pair;
    return true;
  }

  /**
   * Has the streams wait for a keyset with the keys of these records (serialised `Signed`), which are about to be told.
   * @returns true when the one they have lacks any.
   */
  async lacksKeysOf(records: readonly Uint8Array[]): Promise<boolean> {
    const keys = this.#pair?.keyset.keys;
    if (records.every((bytes) => keys?.has(fromBinary(SignedSchema, bytes).keyId))) return false;
    // A later one than that, until it is known which.
    this.#needed = this.version + 1n;
    this.#needed = (await this.#context.keysets.refresh(this.#tenantId)).version;
    return true;
  }

  /** Undefined when the worker's key was delegated after the keyset was made: there is a newer one. */
  async #pairOf(keyset: TrustedKeyset): Promise<Pair | undefined> {
    const { mapKeys, keysets } = this.#context;
    const known = await mapKeys.get(this.#tenantId);
    if (keyset.keys.has(known.keyId)) return { keyset, key: known };
    // Another worker replaced it.
    const key = await mapKeys.refresh(this.#tenantId);
    if (keyset.keys.has(key.keyId)) return { keyset, key };
    await keysets.refresh(this.#tenantId);
    return undefined;
  }
}
