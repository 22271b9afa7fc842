import { lookup } from "node:dns/promises";
import { connect as connectHttp2, constants } from "node:http2";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { fromBinary } from "@bufbuild/protobuf";
import { CertificateService, GetTrustBundleResponseSchema } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { pathOf } from "../access/index.ts";
import { checkPlatform } from "../client/index.ts";
import { pemOf } from "../pki/index.ts";
import { codeOf } from "./check.ts";

/** Milliseconds that each step may take. */
const STEP_TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 65_536;

/** The way to a controller, in the order in which it is gone. */
export type Step = "name" | "tcp" | "tls" | "http2";

/** What a controller answered. */
export interface Answer {
  /** Its `Date` header (RFC 9110 section 6.6.1), milliseconds since the Unix epoch. */
  readonly dateMs: number | undefined;
  /** When the answer came, by this machine's clock. */
  readonly receivedMs: number;
  /** Roots that it serves, DER; not to be believed by themselves. */
  readonly roots: readonly Uint8Array[];
}

export interface Probe {
  /** Words about each step that went well. */
  readonly went: readonly string[];
  readonly failed: { readonly step: Step; readonly why: string } | undefined;
  readonly answer: Answer | undefined;
}

/**
 * Goes the way to a controller step by step.
 * @param roots the only ones that are trusted, DER; undefined to trust nobody and ask all the same.
 */
export async function probeController(
  url: string,
  roots: readonly Uint8Array[] | undefined,
  nowMs: () => number,
): Promise<Probe> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const went: string[] = [];
  let step: Step = "name";
  let socket: Socket | undefined;
  try {
    const address = isIP(host) ? host : (await inTime(lookup(host))).address;
    if (address !== host) went.push(`${host} is ${address}`);
    step = "tcp";
    socket = await dial(address, Number(port || 443));
    went.push(`TCP to ${address} port ${port || 443}`);
    step = "tls";
    const secured = await secure(socket, host, roots);
    socket = secured;
    went.push(`${secured.getProtocol() ?? "TLS"}`);
    step = "http2";
    const answer = await ask(url, secured, nowMs);
    went.push("HTTP/2");
    return { went, failed: undefined, answer };
  } catch (error) {
    return { went, failed: { step, why: codeOf(error) }, answer: undefined };
  } finally {
    socket?.destroy();
  }
}

async function dial(host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port });
  try {
    await inTime(occurs(socket, "connect"));
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function secure(socket: Socket, host: string, roots: readonly Uint8Array[] | undefined): Promise<TLSSocket> {
  const trust =
    roots === undefined ? { rejectUnauthorized: false } : { ca: pemOf(roots), checkServerIdentity: checkPlatform };
  const secured = connectTls({
    socket,
    host,
    ...(isIP(host) ? {} : { servername: host }),
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
    ...trust,
  });
  await inTime(occurs(secured, "secureConnect"));
  return secured;
}

/** One anonymous call, by the Connect protocol: it needs no credential and says all that is asked. */
async function ask(url: string, socket: TLSSocket, nowMs: () => number): Promise<Answer> {
  const session = connectHttp2(new URL(url).origin, { createConnection: () => socket });
  try {
    return await inTime(
      new Promise<Answer>((resolve, reject) => {
        session.once("error", reject);
        const stream = session.request({
          [constants.HTTP2_HEADER_METHOD]: "POST",
          [constants.HTTP2_HEADER_PATH]: pathOf(CertificateService.method.getTrustBundle),
          "content-type": "application/proto",
          "connect-protocol-version": "1",
        });
        const chunks: Buffer[] = [];
        let bytes = 0;
        let date: string | undefined;
        let status = 0;
        stream.once("error", reject);
        stream.once("response", (headers) => {
          date = headers.date;
          status = headers[":status"] ?? 0;
        });
        stream.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) stream.destroy(new Error("the answer is too long"));
          else chunks.push(chunk);
        });
        stream.once("end", () => {
          if (status !== 200) return reject(new Error(`the answer is HTTP ${status}: no controller of this system`));
          try {
            const { bundle } = fromBinary(GetTrustBundleResponseSchema, Buffer.concat(chunks));
            const told = Date.parse(date ?? "");
            const dateMs = Number.isNaN(told) ? undefined : told;
            resolve({ dateMs, receivedMs: nowMs(), roots: bundle?.roots ?? [] });
          } catch {
            reject(new Error("the answer is not understood: no controller of this system"));
          }
        });
        stream.end();
      }),
    );
  } finally {
    session.destroy();
  }
}

function occurs(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the other side closed the connection")));
    socket.once(event, () => resolve());
  });
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`no answer within ${STEP_TIMEOUT_MS / 1_000} s`)),
    STEP_TIMEOUT_MS,
  );
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
