import { fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FileDescriptorProto,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

const VALIDATE = "buf/validate/validate.proto";
/** Field number of protovalidate's extension of message, oneof and field options. */
const CONSTRAINTS = 1159;

/**
 * The contract without field constraints: servers enforce them, and a client without them needs no validation library.
 * @param image descriptors as `buf build` gives them.
 */
export function withoutConstraints(image: Uint8Array): Uint8Array {
  const set: FileDescriptorSet = fromBinary(FileDescriptorSetSchema, image);
  set.file = set.file.filter(({ name }) => name !== VALIDATE);
  for (const file of set.file) stripFile(file);
  return toBinary(FileDescriptorSetSchema, set);
}

/** Paths of the files that are ours, in order. */
export function ownFiles(plain: Uint8Array): string[] {
  return fromBinary(FileDescriptorSetSchema, plain)
    .file.map(({ name }) => name)
    .filter((name) => name.startsWith("cloudvlan/"))
    .toSorted();
}

function stripFile(file: FileDescriptorProto): void {
  file.dependency = file.dependency.filter((path) => path !== VALIDATE);
  for (const message of file.messageType) stripMessage(message);
}

function stripMessage(message: DescriptorProto): void {
  strip(message.options);
  for (const field of message.field) strip(field.options);
  for (const oneof of message.oneofDecl) strip(oneof.options);
  for (const nested of message.nestedType) stripMessage(nested);
}

function strip(options: Message | undefined): void {
  if (options?.$unknown) options.$unknown = options.$unknown.filter(({ no }) => no !== CONSTRAINTS);
}
