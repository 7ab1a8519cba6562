package policyd_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	policyd "policyd.invalid/go"
)

// The cases that all clients share, and where the daemon is: see ../contract/README.md.
type site struct {
	Cases                  string
	Targets, Tokens, Files map[string]string
}

type cases struct {
	Questions   []question
	Batches     []batch
	Connections []connection
}

type question struct {
	Name, Token, API, Action string
	Resource                 resource
	Context                  map[string]any
	Proof                    *proof
	Unknown                  *[]string
	Filter                   *filter
	outcome
}

// A filter is compared as the JSON that it is in the cases.
type filter struct {
	Outcome    policyd.FilterOutcome
	Condition  any
	Attributes []filterAttribute
}

type filterAttribute struct {
	Name, Type string
	Optional   bool
	Values     []string
}

type proof struct {
	DPoPProofs              []string `json:"dpop_proofs"`
	HTTPMethod              string   `json:"http_method"`
	HTTPURI                 string   `json:"http_uri"`
	ClientCertificateSHA256 string   `json:"client_certificate_sha256"`
}

type resource struct {
	Type, ID   string
	Properties map[string]any
}

type batch struct {
	Name, Token, API string
	Items            []struct {
		Action   string
		Resource resource
	}
	Unknown *[]string
	Results []outcome
	outcome
}

type connection struct {
	Name, Target, Authorities, Certificate string
	PrivateKey                             string `json:"private_key"`
	TimeoutMS                              int    `json:"timeout_ms"`
	outcome
}

type outcome struct {
	Answer  *answer
	Partial *partial
	Error   *failure
	Refusal *refusal
}

type answer struct {
	Allowed         bool
	Reason          string
	Rules           []string
	HTTPStatus      int      `json:"http_status"`
	WWWAuthenticate string   `json:"www_authenticate"`
	MissingScopes   []string `json:"missing_scopes"`
	UnknownFacts    []string `json:"unknown_facts"`
	Subject         *subject
	Cacheable       *bool
}

type subject struct {
	Subject, Issuer, Client string
	Kind                    policyd.SubjectKind
	Scopes                  []string
}

type partial struct {
	Outcome   policyd.Certainty
	DependsOn []string `json:"depends_on"`
}

type failure struct {
	Code          codes.Code
	Reason, Names string
}

type refusal struct {
	Status  int
	Headers map[string]string
}

func read[T any](t *testing.T, path string) (value T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func open(t *testing.T) (site, cases) {
	path := os.Getenv("POLICYD_CONTRACT")
	if path == "" {
		t.Skip("`make interop` starts the daemon and names its site in POLICYD_CONTRACT")
	}
	at := read[site](t, path)
	return at, read[cases](t, at.Cases)
}

func (s site) token(template string) string {
	for name, token := range s.Tokens {
		template = strings.ReplaceAll(template, "{"+name+"}", token)
	}
	return template
}

// native replaces {"$native": KIND} by what Go has and JSON lacks.
func native(value any) any {
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = native(value[i])
		}
	case map[string]any:
		if kind, ok := value["$native"]; ok {
			return natives[kind.(string)]
		}
		for name := range value {
			value[name] = native(value[name])
		}
	}
	return value
}

var natives = map[string]any{
	"nan":         math.NaN(),
	"infinity":    math.Inf(1),
	"big-integer": int64(1<<53 + 1),
	"bytes":       []byte("x"),
	"date":        time.Now(),
	"set":         map[string]struct{}{"a": {}},
	"broken-text": "\xff",
	"deep":        endless(),
}

func endless() map[string]any {
	object := map[string]any{}
	object["x"] = object
	return object
}

func properties(given map[string]any) map[string]any {
	if given == nil {
		return nil
	}
	return native(given).(map[string]any)
}

func (r resource) native() policyd.Resource {
	return policyd.Resource{Type: r.Type, ID: r.ID, Properties: properties(r.Properties)}
}

// judge compares what came of a question with what must.
func (want outcome) judge(t *testing.T, got policyd.Answer, err error) {
	t.Helper()
	switch {
	case want.Answer != nil:
		if err != nil {
			t.Fatal(err)
		}
		want.Answer.judge(t, got)
	case want.Error == nil:
		t.Fatal("the case says nothing")
	default:
		want.Error.judge(t, got, err)
	}
	refused, is := policyd.RefusalOf(got, err)
	if is != (want.Refusal != nil) {
		t.Fatalf("refused: %v", is)
	}
	if is {
		want.Refusal.judge(t, refused)
	}
}

func (want outcome) judgePartial(t *testing.T, got policyd.PartialAnswer, err error) {
	t.Helper()
	want.judge(t, got.Answer, err)
	if err == nil && !reflect.DeepEqual(partial{got.Outcome, got.DependsOn}, *want.Partial) {
		t.Errorf("got %s by %q, want %+v", got.Outcome, got.DependsOn, *want.Partial)
	}
}

func (want question) judgeFilter(t *testing.T, got policyd.Filter, err error) {
	t.Helper()
	want.judge(t, got.Answer, err)
	if err != nil {
		return
	}
	seen := filter{Outcome: got.Outcome, Condition: condition(got.Condition)}
	for _, one := range got.Attributes {
		seen.Attributes = append(seen.Attributes, filterAttribute(one))
	}
	if !reflect.DeepEqual(seen, *want.Filter) {
		t.Errorf("got %+v, want %+v", seen, *want.Filter)
	}
	if want.Answer.Cacheable != nil && *want.Answer.Cacheable == got.ValidUntil.IsZero() {
		t.Errorf("valid until %v, want %v", got.ValidUntil, *want.Answer.Cacheable)
	}
}

func condition(given policyd.FilterCondition) any {
	several := func(given []policyd.FilterCondition) []any {
		made := make([]any, len(given))
		for i := range given {
			made[i] = condition(given[i])
		}
		return made
	}
	switch given := given.(type) {
	case policyd.FilterAll:
		return map[string]any{"all": several(given)}
	case policyd.FilterAny:
		return map[string]any{"any": several(given)}
	case policyd.FilterNot:
		return map[string]any{"not": condition(given.Condition)}
	case policyd.FilterHasSome:
		return map[string]any{"has_some": given.Attribute, "of": condition(given.Condition)}
	case policyd.FilterTest:
		made := map[string]any{"test": given.Operator}
		for name, one := range map[string]*policyd.FilterOperand{"left": given.Left, "right": given.Right} {
			if one != nil {
				made[name] = operand(*one)
			}
		}
		return made
	}
	return nil
}

func operand(given policyd.FilterOperand) map[string]any {
	made := map[string]any{"type": given.Type}
	switch {
	case given.Attribute != "":
		made["attribute"] = given.Attribute
	case given.Field != "":
		made["field"] = given.Field
	default:
		made["value"] = value(given.Value)
	}
	return made
}

func value(given any) any {
	switch given := given.(type) {
	case int64:
		return float64(given) // as JSON is read
	case []any:
		made := make([]any, len(given))
		for i := range given {
			made[i] = value(given[i])
		}
		return made
	}
	return given
}

func (want answer) judge(t *testing.T, got policyd.Answer) {
	t.Helper()
	seen := answer{
		got.Allowed, got.Reason, got.Rules, got.HTTPStatus, got.WWWAuthenticate,
		got.MissingScopes, got.UnknownFacts, nil, want.Cacheable,
	}
	if named := got.Subject; want.Subject != nil {
		seen.Subject = &subject{
			named.Subject, named.Issuer, named.Client, named.Kind, named.Scopes,
		}
		if got.Allowed != named.ExpiresAt.After(time.Now()) {
			t.Errorf("allowed: %v, the token expires at %v", got.Allowed, named.ExpiresAt)
		}
	}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("got %+v, want %+v", seen, want)
	}
	if got.DecisionID == "" || got.PolicyRevision == "" {
		t.Errorf("the answer does not say what decided: %+v", got)
	}
	if want.Cacheable != nil && *want.Cacheable == got.CacheableUntil.IsZero() {
		t.Errorf("cacheable until %v, want %v", got.CacheableUntil, *want.Cacheable)
	}
}

func (want failure) judge(t *testing.T, got policyd.Answer, err error) {
	t.Helper()
	found, ok := err.(*policyd.Error)
	if !ok {
		t.Fatalf("got %+v and %v, want an error", got, err)
	}
	if got.Allowed || found.Code != want.Code || found.Reason != want.Reason {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
	if !strings.Contains(found.Message, "`"+want.Names) && want.Names != "" {
		t.Errorf("%q does not name %q", found.Message, want.Names)
	}
}

func (want refusal) judge(t *testing.T, got policyd.Refusal) {
	t.Helper()
	recorder := httptest.NewRecorder()
	got.Write(recorder)
	if recorder.Code != want.Status {
		t.Errorf("refused with %d, want %d", recorder.Code, want.Status)
	}
	for _, name := range []string{"WWW-Authenticate", "Retry-After", "DPoP-Nonce"} {
		if value := recorder.Header().Get(name); value != want.Headers[name] {
			t.Errorf("%s is %q, want %q", name, value, want.Headers[name])
		}
	}
}

func TestQuestions(t *testing.T) {
	at, all := open(t)
	client := connect(t, at.Targets["tcp"])
	for _, one := range all.Questions {
		t.Run(one.Name, func(t *testing.T) {
			asked := policyd.Question{
				Token: at.token(one.Token), API: one.API, Action: one.Action,
				Resource: one.Resource.native(), Context: properties(one.Context),
				Proof: (*policyd.Proof)(one.Proof),
			}
			if one.Unknown != nil {
				got, err := client.PartialCheck(t.Context(), asked, *one.Unknown...)
				one.judgePartial(t, got, err)
				return
			}
			if one.Filter != nil {
				got, err := client.Filter(t.Context(), asked)
				one.judgeFilter(t, got, err)
				return
			}
			got, err := client.Check(t.Context(), asked)
			one.judge(t, got, err)
		})
	}
}

func TestBatches(t *testing.T) {
	at, all := open(t)
	client := connect(t, at.Targets["tcp"])
	for _, one := range all.Batches {
		t.Run(one.Name, func(t *testing.T) {
			asked := policyd.Batch{Token: at.token(one.Token), API: one.API}
			for _, item := range one.Items {
				asked.Items = append(asked.Items, policyd.Item{
					Action: item.Action, Resource: item.Resource.native(),
				})
			}
			if one.Unknown != nil {
				got, err := client.BatchPartialCheck(t.Context(), asked, *one.Unknown...)
				if err != nil || len(got) != len(one.Results) {
					t.Fatalf("got %+v and %v", got, err)
				}
				for i, result := range one.Results {
					result.judgePartial(t, got[i].Answer, got[i].Err)
				}
				return
			}
			got, err := client.BatchCheck(t.Context(), asked)
			if one.Error != nil {
				one.judge(t, policyd.Answer{}, err)
				return
			}
			if err != nil || len(got) != len(one.Results) {
				t.Fatalf("got %+v and %v", got, err)
			}
			for i, result := range one.Results {
				result.judge(t, got[i].Answer, got[i].Err)
			}
		})
	}
}

func TestConnections(t *testing.T) {
	at, all := open(t)
	for _, one := range all.Connections {
		t.Run(one.Name, func(t *testing.T) {
			options := []policyd.Option{}
			if one.Authorities != "" {
				options = append(options, policyd.WithTLS(identity(t, at, one)))
			}
			if one.TimeoutMS != 0 {
				timeout := time.Duration(one.TimeoutMS) * time.Millisecond
				options = append(options, policyd.WithTimeout(timeout))
			}
			client := connect(t, at.Targets[one.Target], options...)
			got, err := client.Check(t.Context(), readable(at))
			one.judge(t, got, err)
		})
	}
}

func TestTheContextsDeadlineCountsIfItIsSooner(t *testing.T) {
	at, _ := open(t)
	client := connect(t, at.Targets["silent"])
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	got, err := client.Check(ctx, readable(at))
	failure{Code: codes.DeadlineExceeded}.judge(t, got, err)
}

func TestOptionsAreChecked(t *testing.T) {
	for _, option := range []policyd.Option{
		policyd.WithTLS(nil), policyd.WithTimeout(0), policyd.WithAttempts(0), policyd.WithAttempts(6),
	} {
		if _, err := policyd.New("127.0.0.1:1", option); err == nil {
			t.Error("there is no error")
		}
	}
}

func readable(at site) policyd.Question {
	sealed := map[string]any{"sealed": false}
	return policyd.Question{
		Token: at.Tokens["reader"], API: "health", Action: "read",
		Resource: policyd.Resource{Type: "patient", ID: "p1", Properties: sealed},
	}
}

func connect(t *testing.T, target string, options ...policyd.Option) *policyd.Client {
	t.Helper()
	client, err := policyd.New(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func identity(t *testing.T, at site, one connection) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(at.Files[one.Authorities])
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(text)
	if one.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(at.Files[one.Certificate], at.Files[one.PrivateKey])
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}
