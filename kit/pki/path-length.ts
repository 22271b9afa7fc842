import { BasicConstraintsExtension, X509Certificate } from "./x509.ts";

/** Authorities that an authority may have below it; undefined for any number, or for no authority. */
export function pathLengthOf(der: Uint8Array): number | undefined {
  return new X509Certificate(new Uint8Array(der)).getExtension(BasicConstraintsExtension)?.pathLength;
}
