// What every process needs of certificates; kit/ca has the side that issues.
export { pathLengthOf } from "./path-length.ts";
export { createCsr, newTlsKey } from "./csr.ts";
export { certificatesOf, pemOf } from "./pem.ts";
export { keepRenewed, renewalTime, type RenewalLoop, retryDelay, type Validity } from "./renew.ts";
export { formatSpiffe, parseSpiffe, type SpiffeId } from "./spiffe.ts";
export { type ChainVerdict, verifyChain } from "./verify.ts";
