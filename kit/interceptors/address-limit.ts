import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { Refusal } from "../errors/index.ts";
import { formatPrefix, parseAddress, prefixOf } from "../net/index.ts";

/** Lets an address make so many calls and no more. Kept in memory: it must cost less than what it guards. */
export type AddressLimit = (address: string) => Promise<void>;

/** Seconds over which calls are counted, so that a burst may be twice the sustained rate. */
const WINDOW_SECONDS = 2;

/** Zone of a link-local address (RFC 4007 section 11). */
const ZONE = /%.*$/;
const SITE_BITS = 64;

/** Addresses that share their first 64 bits belong to one host as far as we can know (RFC 6177). */
export function limitKey(address: string): string {
  const bytes = parseAddress(address.replace(ZONE, ""));
  return bytes?.length === 16 ? formatPrefix(prefixOf(bytes, SITE_BITS)) : address;
}

/**
 * @param requestsPerSecond of one IPv4 address or IPv6 /64, sustained.
 * @returns a check that throws Refusal `exhausted` past the limit.
 */
export function addressLimit(requestsPerSecond: number): AddressLimit {
  const limiter = new RateLimiterMemory({ points: requestsPerSecond * WINDOW_SECONDS, duration: WINDOW_SECONDS });
  return async (address) => {
    try {
      await limiter.consume(limitKey(address));
    } catch (rejection) {
      if (!(rejection instanceof RateLimiterRes)) throw rejection;
      throw new Refusal("exhausted", "TOO_MANY_REQUESTS", "too many requests from this address", {
        remedy: `wait ${Math.max(1, Math.ceil(rejection.msBeforeNext / 1000))} s and send less`,
      });
    }
  };
}
