export { join, type JoinOptions, type Prover } from "./join.ts";
export { parseJoinString } from "./join-string.ts";
export { joinTranscript, type TranscriptParts } from "./transcript.ts";
