import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Certificate(_message.Message):
    __slots__ = ("chain", "not_before", "not_after", "spiffe_id")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    SPIFFE_ID_FIELD_NUMBER: _ClassVar[int]
    chain: _containers.RepeatedScalarFieldContainer[bytes]
    not_before: _timestamp_pb2.Timestamp
    not_after: _timestamp_pb2.Timestamp
    spiffe_id: str
    def __init__(self, chain: _Optional[_Iterable[bytes]] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., spiffe_id: _Optional[str] = ...) -> None: ...

class TrustBundle(_message.Message):
    __slots__ = ("roots", "cross_signed")
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    CROSS_SIGNED_FIELD_NUMBER: _ClassVar[int]
    roots: _containers.RepeatedScalarFieldContainer[bytes]
    cross_signed: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, roots: _Optional[_Iterable[bytes]] = ..., cross_signed: _Optional[_Iterable[bytes]] = ...) -> None: ...
