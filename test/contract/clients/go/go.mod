module cloudvlan/test/contract/clients/go

go 1.26.0

require (
	cloudvlan/gen/go v0.0.0
	connectrpc.com/connect v1.21.1
	google.golang.org/protobuf v1.36.12
)

replace cloudvlan/gen/go => ../../../../gen/go
