import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MapHeadSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { type SigningKey, signRecord } from "@cloudvlan/kit/sign";
import type { NetmapConfig } from "../config.ts";
import type { HeadSettings } from "../domain/head-settings.ts";
import type { Scope } from "../domain/scope.ts";

/** Serialised `Signed` of the head at a position; the same bytes for every viewer that is told within half a tick. */
export type Heads = (
  key: SigningKey,
  epoch: bigint,
  revision: bigint,
  keysetVersion: bigint,
  settings: HeadSettings,
) => Uint8Array;

export function heads(config: NetmapConfig, clock: Clock, scope: Scope): Heads {
  let issued: { readonly position: string; readonly at: number; readonly bytes: Uint8Array } | undefined;
  return (key, epoch, revision, keysetVersion, { stalePolicy, mapTtlSeconds }) => {
    const position = [key.keyId, epoch, revision, keysetVersion, stalePolicy, mapTtlSeconds].join(" ");
    const at = clock.monotonicMs();
    if (issued?.position === position && at - issued.at < config.head_seconds * 500) return issued.bytes;
    // Whole seconds are shorter, and heads are most of what a quiet node receives.
    const now = Math.floor(clock.nowMs() / 1000) * 1000;
    const head = create(MapHeadSchema, {
      ...scope,
      epoch,
      revision,
      keysetVersion,
      issuedAt: timestampFromMs(now),
      expiresAt: timestampFromMs(now + mapTtlSeconds * 1000),
      stalePolicy,
    });
    const bytes = toBinary(SignedSchema, signRecord(key, "head", toBinary(MapHeadSchema, head)));
    issued = { position, at, bytes };
    return bytes;
  };
}
