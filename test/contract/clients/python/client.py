"""Makes the calls that standard input asks for with the generated Python client, and writes what came of them."""

import base64
import importlib
import json
import sys
from urllib.parse import urlsplit

import grpc
from google.protobuf import json_format

CHANNELS: dict[tuple[str, str], grpc.Channel] = {}


def channel_of(call: dict) -> grpc.Channel:
    key = (call["url"], call["certificate"])
    if key not in CHANNELS:
        own = (call["key"].encode(), call["certificate"].encode()) if call["certificate"] else (None, None)
        credentials = grpc.ssl_channel_credentials(call["roots"].encode(), *own)
        CHANNELS[key] = grpc.secure_channel(urlsplit(call["url"]).netloc, credentials)
    return CHANNELS[key]


def answer_to(call: dict) -> dict:
    package, service = call["service"].rsplit(".", 1)
    module = f"{package}.{package.split('.')[-2]}"
    messages = importlib.import_module(f"{module}_pb2")
    stub = getattr(importlib.import_module(f"{module}_pb2_grpc"), f"{service}Stub")(channel_of(call))
    descriptor = messages.DESCRIPTOR.services_by_name[service].methods_by_name[call["method"]]
    request = getattr(messages, descriptor.input_type.name)()
    json_format.ParseDict(call["message"], request)
    rpc = getattr(stub, call["method"])
    metadata = [(name.lower(), value) for name, value in call["headers"].items()]
    try:
        if call["stream"]:
            stream = rpc(request, metadata=metadata, timeout=30)
            answer = next(stream)
            stream.cancel()
        else:
            answer = rpc(request, metadata=metadata, timeout=30)
        return {"message": json_format.MessageToDict(answer)}
    except grpc.RpcError as error:
        trailers = {"grpc-status": str(error.code().value[0]), "grpc-message": error.details() or ""}
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                trailers[name] = base64.b64encode(value).decode()
        return {"trailers": trailers}


for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"id": asked["id"], **answer_to(asked)}), flush=True)
