package policyd

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
)

// A Resource is what the action is performed on. Properties are the attributes that its type
// declares: nil, booleans, numbers, texts, and slices and maps of them.
type Resource struct {
	Type       string
	ID         string
	Properties map[string]any
}

// A Proof is what came along with a sender-bound token, as received. The contract's message
// SenderProof says what each field means.
type Proof struct {
	DPoPProofs              []string
	HTTPMethod              string
	HTTPURI                 string
	ClientCertificateSHA256 string
}

// A Question is whether the bearer of Token may do Action to Resource.
//
// The token may come with its scheme, "Bearer ", and with white space around it. API is the API's
// name or one of its audiences; empty only where the daemon has a default_api.
type Question struct {
	Token     string
	API       string
	Action    string
	Resource  Resource
	Context   map[string]any
	Proof     *Proof
	RequestID string
}

// A Batch is several questions about one token at one API.
type Batch struct {
	Token     string
	API       string
	Items     []Item
	Context   map[string]any
	Proof     *Proof
	RequestID string
}

// An Item is one question of a Batch.
type Item struct {
	Action   string
	Resource Resource
}

// An Outcome is what came of one item: an answer, or why there is none.
type Outcome struct {
	Answer Answer
	Err    error
}

// A SubjectKind says on whose behalf a token acts.
type SubjectKind string

// The token may not tell: then it is empty.
const (
	User        SubjectKind = "user"
	Application SubjectKind = "application"
)

// A Subject is whom a verified token names: by Issuer and Subject together.
type Subject struct {
	Subject string
	Issuer  string
	Client  string
	Kind    SubjectKind

	Scopes          []string // that the token grants
	ScopesTruncated bool
	ExpiresAt       time.Time // of the token; zero where it does not tell
	Actor           string    // who acts for the subject; empty for nobody
}

// An Answer is the daemon's decision. Act on Allowed alone; the contract's message CheckResponse
// says what each field means.
type Answer struct {
	Allowed         bool
	Reason          string
	Message         string
	Rules           []string
	RulesTruncated  bool
	MissingScopes   []string
	UnknownFacts    []string
	HTTPStatus      int
	WWWAuthenticate string
	RetryAfter      time.Duration
	DPoPNonce       string
	Subject         *Subject  // nil where no token was verified
	CacheableUntil  time.Time // zero: not to be kept at all
	DecisionID      string
	PolicyRevision  string
	SearchStopped   bool
}

// A Certainty is what is certain of a question of which some facts are unknown.
type Certainty string

const (
	Allow Certainty = "allow" // whatever they are
	Deny  Certainty = "deny"  // whatever they are
	Maybe Certainty = "maybe" // it depends on them, or may
)

// A PartialAnswer says what is certain; the contract's message PartialCheckResponse says what each
// field means. A menu shows what is not Deny. Answer.Allowed is true with Allow alone: before acting
// on a Maybe, ask again with what is known by then.
type PartialAnswer struct {
	Outcome       Certainty
	DependsOn     []string
	SearchStopped bool
	Answer        Answer
}

// A PartialOutcome is what came of one item: an answer, or why there is none.
type PartialOutcome struct {
	Answer PartialAnswer
	Err    error
}

// Header returns the fields that go with any response, also where access is allowed.
func (a Answer) Header() http.Header {
	header := http.Header{}
	if a.DPoPNonce != "" {
		header.Set("DPoP-Nonce", a.DPoPNonce)
	}
	return header
}

// An Error says why there is no answer. It is no permission.
type Error struct {
	Code    codes.Code // gRPC's
	Reason  string     // policyd's own, such as UNKNOWN_API; empty where it gave none
	Message string
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("policyd: %s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("policyd: %s (%s): %s", e.Code, e.Reason, e.Message)
}

func invalid(reason, format string, arguments ...any) *Error {
	return &Error{codes.InvalidArgument, reason, fmt.Sprintf(format, arguments...)}
}

// passing are failures that end by themselves, and the seconds after which to ask again.
var passing = map[codes.Code]bool{
	codes.Unavailable:       true,
	codes.DeadlineExceeded:  true,
	codes.ResourceExhausted: true,
	codes.Canceled:          true,
}

const retryAfter = 5

// A Refusal is the HTTP response to a caller who is not let in.
type Refusal struct {
	Status  int
	Header  http.Header
	Reason  string // policyd's, or AUTHORIZATION_UNAVAILABLE where there is no answer
	Message string // for people
}

// RefusalOf returns the response that goes with what Check or an Outcome gave, and whether there is
// one: an answer that allows, without an error, is no refusal.
//
// A deny becomes the status and the challenge that the daemon made. No answer becomes 503 where
// waiting may help, else 500.
func RefusalOf(answer Answer, err error) (Refusal, bool) {
	switch {
	case err != nil:
		return noAnswer(err), true
	case answer.Allowed:
		return Refusal{}, false
	}
	header := answer.Header()
	if answer.WWWAuthenticate != "" {
		header.Set("WWW-Authenticate", answer.WWWAuthenticate)
	}
	if answer.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(answer.RetryAfter/time.Second)))
	}
	status := answer.HTTPStatus
	if status < 400 {
		status = http.StatusForbidden // whatever an answer says besides, a deny is no success
	}
	return Refusal{status, header, answer.Reason, answer.Message}, true
}

func noAnswer(err error) Refusal {
	refusal := Refusal{
		Status:  http.StatusInternalServerError,
		Header:  http.Header{},
		Reason:  "AUTHORIZATION_UNAVAILABLE",
		Message: "no decision could be made",
	}
	if known, ok := errorOf(err); ok && passing[known.Code] {
		refusal.Status = http.StatusServiceUnavailable
		refusal.Header.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	return refusal
}

// Write sends the refusal.
func (r Refusal) Write(w http.ResponseWriter) {
	for name, values := range r.Header {
		w.Header()[name] = values
	}
	http.Error(w, r.Reason+": "+r.Message, r.Status)
}
