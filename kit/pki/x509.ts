// The library asks for this polyfill to be loaded first.
import "reflect-metadata";

export * from "@peculiar/x509";
