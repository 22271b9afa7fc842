// Makes the calls that standard input asks for with the generated Go client, and writes what came of them.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"cloudvlan/gen/go/cloudvlan/auth/v1/authv1connect"
	"cloudvlan/gen/go/cloudvlan/netmap/v1/netmapv1connect"
	"cloudvlan/gen/go/cloudvlan/policy/v1/policyv1connect"
	"cloudvlan/gen/go/cloudvlan/registry/v1/registryv1connect"
)

type call struct {
	ID          int               `json:"id"`
	URL         string            `json:"url"`
	Roots       string            `json:"roots"`
	Certificate string            `json:"certificate"`
	Key         string            `json:"key"`
	Headers     map[string]string `json:"headers"`
	Service     string            `json:"service"`
	Method      string            `json:"method"`
	Stream      bool              `json:"stream"`
	Message     json.RawMessage   `json:"message"`
}

type detail struct {
	Type  string `json:"type"`
	Value []byte `json:"value"`
}

type answer struct {
	ID      int             `json:"id"`
	Message json.RawMessage `json:"message,omitempty"`
	Code    string          `json:"code,omitempty"`
	Text    string          `json:"text"`
	Details []detail        `json:"details"`
}

// Constructors of the generated clients, by full name of the service.
var constructors = map[string]any{
	authv1connect.TenantServiceName:              authv1connect.NewTenantServiceClient,
	authv1connect.ApiKeyServiceName:              authv1connect.NewApiKeyServiceClient,
	authv1connect.CertificateServiceName:         authv1connect.NewCertificateServiceClient,
	authv1connect.AuthServiceName:                authv1connect.NewAuthServiceClient,
	authv1connect.AuditServiceName:               authv1connect.NewAuditServiceClient,
	registryv1connect.CvlanServiceName:           registryv1connect.NewCvlanServiceClient,
	registryv1connect.NodeServiceName:            registryv1connect.NewNodeServiceClient,
	registryv1connect.GroupServiceName:           registryv1connect.NewGroupServiceClient,
	registryv1connect.TagServiceName:             registryv1connect.NewTagServiceClient,
	registryv1connect.RegionServiceName:          registryv1connect.NewRegionServiceClient,
	registryv1connect.DiscoveryServerServiceName: registryv1connect.NewDiscoveryServerServiceClient,
	registryv1connect.EnrollmentServiceName:      registryv1connect.NewEnrollmentServiceClient,
	registryv1connect.RegistryServiceName:        registryv1connect.NewRegistryServiceClient,
	registryv1connect.SettingsServiceName:        registryv1connect.NewSettingsServiceClient,
	registryv1connect.AuditServiceName:           registryv1connect.NewAuditServiceClient,
	policyv1connect.PolicyServiceName:            policyv1connect.NewPolicyServiceClient,
	policyv1connect.AuditServiceName:             policyv1connect.NewAuditServiceClient,
	netmapv1connect.NetmapServiceName:            netmapv1connect.NewNetmapServiceClient,
	netmapv1connect.DiagnosisServiceName:         netmapv1connect.NewDiagnosisServiceClient,
	netmapv1connect.PresenceServiceName:          netmapv1connect.NewPresenceServiceClient,
	netmapv1connect.AuditServiceName:             netmapv1connect.NewAuditServiceClient,
}

var clients = map[string]*http.Client{}

func clientOf(asked call) (*http.Client, error) {
	if client, ok := clients[asked.Certificate]; ok {
		return client, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM([]byte(asked.Roots))
	if asked.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(asked.Certificate), []byte(asked.Key))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	clients[asked.Certificate] = client
	return client, nil
}

func perform(ctx context.Context, asked call) (proto.Message, error) {
	constructor, ok := constructors[asked.Service]
	if !ok {
		return nil, fmt.Errorf("no client of %s", asked.Service)
	}
	client, err := clientOf(asked)
	if err != nil {
		return nil, err
	}
	made := reflect.ValueOf(constructor).Call([]reflect.Value{reflect.ValueOf(client), reflect.ValueOf(asked.URL)})[0]
	method := made.MethodByName(asked.Method)
	if !method.IsValid() {
		return nil, fmt.Errorf("%s has no method %s", asked.Service, asked.Method)
	}
	request := reflect.New(method.Type().In(1).Elem())
	message := request.Elem().FieldByName("Msg")
	message.Set(reflect.New(message.Type().Elem()))
	if err := protojson.Unmarshal(asked.Message, message.Interface().(proto.Message)); err != nil {
		return nil, err
	}
	header := request.MethodByName("Header").Call(nil)[0].Interface().(http.Header)
	for name, value := range asked.Headers {
		header.Set(name, value)
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), request})
	if err, _ := results[1].Interface().(error); err != nil {
		return nil, err
	}
	if !asked.Stream {
		return results[0].Elem().FieldByName("Msg").Interface().(proto.Message), nil
	}
	stream := results[0]
	defer stream.MethodByName("Close").Call(nil)
	if !stream.MethodByName("Receive").Call(nil)[0].Bool() {
		err, _ := stream.MethodByName("Err").Call(nil)[0].Interface().(error)
		return nil, err
	}
	return stream.MethodByName("Msg").Call(nil)[0].Interface().(proto.Message), nil
}

func answerTo(asked call) answer {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	message, err := perform(ctx, asked)
	if err == nil && message != nil {
		body, err := protojson.Marshal(message)
		if err == nil {
			return answer{ID: asked.ID, Message: body}
		}
	}
	var refusal *connect.Error
	if !errors.As(err, &refusal) {
		return answer{ID: asked.ID, Code: "unknown", Text: fmt.Sprint(err), Details: []detail{}}
	}
	told := answer{ID: asked.ID, Code: refusal.Code().String(), Text: refusal.Message(), Details: []detail{}}
	for _, one := range refusal.Details() {
		told.Details = append(told.Details, detail{Type: one.Type(), Value: one.Bytes()})
	}
	return told
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 16<<20)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		var asked call
		if err := json.Unmarshal(input.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := output.Encode(answerTo(asked)); err != nil {
			os.Exit(1)
		}
	}
}
