// Rego behind Envoy's external authorization: what OPA's own plugin for Envoy does at the least.
//
// It reads the request into an input of the plugin's shape, evaluates a query that was prepared
// beforehand, and answers. Configuration, bundles, decision logs, metrics and traces are left out.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net"
	"os"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown/cache"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

type server struct {
	auth.UnimplementedAuthorizationServer
	query rego.PreparedEvalQuery
	cache cache.InterQueryValueCache
}

func (s *server) Check(ctx context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	http := request.GetAttributes().GetRequest().GetHttp()
	headers := make(map[string]any, len(http.GetHeaders()))
	for name, value := range http.GetHeaders() {
		headers[name] = value
	}
	segments := strings.Split(strings.TrimPrefix(http.GetPath(), "/"), "/")
	path := make([]any, len(segments))
	for i, segment := range segments {
		path[i] = segment
	}
	input := map[string]any{
		"attributes": map[string]any{
			"request": map[string]any{
				"http": map[string]any{"method": http.GetMethod(), "path": http.GetPath(), "headers": headers},
			},
		},
		"parsed_path": path,
	}
	found, err := s.query.Eval(ctx, rego.EvalInput(input), rego.EvalInterQueryBuiltinValueCache(s.cache))
	if err == nil && found.Allowed() {
		return &auth.CheckResponse{
			Status:       &status.Status{},
			HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{}},
		}, nil
	}
	refusal := &auth.DeniedHttpResponse{
		Status:  &envoytype.HttpStatus{Code: envoytype.StatusCode_Forbidden},
		Headers: []*core.HeaderValueOption{},
	}
	return &auth.CheckResponse{
		Status:       &status.Status{Code: 7},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: refusal},
	}, nil
}

// main takes an address, a file of Rego and a file of data.
func main() {
	address := os.Args[1]
	policy, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	var data map[string]any
	if err := json.Unmarshal(text, &data); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	query, err := rego.New(
		rego.Query("data.envoy.authz.allow"),
		rego.Module("authz.rego", string(policy)),
		rego.Store(inmem.NewFromObject(data)),
	).PrepareForEval(ctx)
	if err != nil {
		log.Fatal(err)
	}
	entries := 10000
	named := map[string]*cache.NamedValueCacheConfig{
		"io_jwt":      {MaxNumEntries: &entries},
		"io_jwt_keys": {MaxNumEntries: &entries},
	}
	config := &cache.Config{}
	config.InterQueryBuiltinValueCache.NamedCacheConfigs = named
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	made := grpc.NewServer()
	remembered := cache.NewInterQueryValueCache(ctx, config)
	auth.RegisterAuthorizationServer(made, &server{query: query, cache: remembered})
	log.Fatal(made.Serve(listener))
}
