package policyd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "policyd.invalid/go/policydv1"
)

const (
	defaultTimeout  = 5 * time.Second
	defaultAttempts = 4
	mostAttempts    = 5 // gRPC makes no more
)

// A Client asks one daemon. Goroutines may share it.
type Client struct {
	connection *grpc.ClientConn
	service    pb.AuthorizationServiceClient
	timeout    time.Duration
}

type settings struct {
	tls      *tls.Config
	plain    bool
	timeout  time.Duration
	attempts int
}

// An Option changes how a Client asks.
type Option func(*settings)

// WithTLS has the daemon show a certificate that one of config.RootCAs issued; config.Certificates
// are what it is shown where it asks for one. Without this option the connection is plain text.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.tls, s.plain = config, false }
}

// WithTimeout bounds each call, repetitions included; by default it is 5 seconds. A deadline of the
// call's context counts too, if it is sooner.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout = timeout }
}

// WithAttempts is how often a call is made in all while the daemon is unavailable: from 1 to 5, by
// default 4. No other error is repeated: it would be the same again.
func WithAttempts(attempts int) Option {
	return func(s *settings) { s.attempts = attempts }
}

// New returns a client of the daemon at target: host:port, or unix:PATH. It connects with the first
// question.
func New(target string, options ...Option) (*Client, error) {
	chosen := settings{plain: true, timeout: defaultTimeout, attempts: defaultAttempts}
	for _, option := range options {
		option(&chosen)
	}
	if chosen.timeout <= 0 {
		return nil, errors.New("policyd: the timeout must be positive")
	}
	if chosen.attempts < 1 || chosen.attempts > mostAttempts {
		return nil, fmt.Errorf("policyd: attempts is a number from 1 to %d", mostAttempts)
	}
	if !chosen.plain && chosen.tls == nil {
		return nil, errors.New("policyd: TLS needs a configuration")
	}
	transport := insecure.NewCredentials()
	if !chosen.plain {
		transport = credentials.NewTLS(chosen.tls)
	}
	connection, err := grpc.NewClient(target, append(
		retries(chosen.attempts), grpc.WithTransportCredentials(transport))...)
	if err != nil {
		return nil, fmt.Errorf("policyd: %w", err)
	}
	return &Client{connection, pb.NewAuthorizationServiceClient(connection), chosen.timeout}, nil
}

// retries has gRPC repeat calls to an unavailable daemon, with growing pauses.
func retries(attempts int) []grpc.DialOption {
	if attempts == 1 {
		return []grpc.DialOption{grpc.WithDisableRetry()}
	}
	return []grpc.DialOption{grpc.WithDefaultServiceConfig(fmt.Sprintf(`{"methodConfig": [{
		"name": [{"service": %q}],
		"retryPolicy": {
			"maxAttempts": %d,
			"initialBackoff": "0.05s",
			"maxBackoff": "1s",
			"backoffMultiplier": 3,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}]}`, pb.AuthorizationService_ServiceDesc.ServiceName, attempts))}
}

// Close ends the connection.
func (c *Client) Close() error {
	return c.connection.Close()
}

// Check asks one question. A deny is an answer and no error. The error is an [*Error].
func (c *Client) Check(ctx context.Context, question Question) (Answer, error) {
	request, err := checkRequest(question)
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.Check(ctx, request)
	if err != nil {
		return Answer{}, failed(err)
	}
	return answerOf(response), nil
}

// BatchCheck asks several questions about one token; the outcomes are in the order of the items.
// One bad item fails no other. The error is an [*Error].
func (c *Client) BatchCheck(ctx context.Context, batch Batch) ([]Outcome, error) {
	request, err := batchCheckRequest(batch)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.BatchCheck(ctx, request)
	if err != nil {
		return nil, failed(err)
	}
	if len(response.GetResults()) != len(batch.Items) {
		return nil, unanswered()
	}
	outcomes := make([]Outcome, len(batch.Items))
	for i, result := range response.GetResults() {
		outcomes[i] = outcomeOf(result)
	}
	return outcomes, nil
}

// PartialCheck asks what is certain of a question while some facts are unknown. They are named as a
// policy names them, such as "resource.amount"; "resource" and "context" are all that they have. The
// error is an [*Error].
func (c *Client) PartialCheck(
	ctx context.Context, question Question, unknown ...string,
) (PartialAnswer, error) {
	request, err := partialCheckRequest(question, unknown)
	if err != nil {
		return PartialAnswer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.PartialCheck(ctx, request)
	if err != nil {
		return PartialAnswer{}, failed(err)
	}
	return partialAnswerOf(response), nil
}

// BatchPartialCheck asks several such questions about one token: which entries a menu has. The
// outcomes are in the order of the items. The error is an [*Error].
func (c *Client) BatchPartialCheck(
	ctx context.Context, batch Batch, unknown ...string,
) ([]PartialOutcome, error) {
	request, err := batchPartialCheckRequest(batch, unknown)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.BatchPartialCheck(ctx, request)
	if err != nil {
		return nil, failed(err)
	}
	if len(response.GetResults()) != len(batch.Items) {
		return nil, unanswered()
	}
	outcomes := make([]PartialOutcome, len(batch.Items))
	for i, result := range response.GetResults() {
		outcomes[i] = partialOutcomeOf(result)
	}
	return outcomes, nil
}

func outcomeOf(result *pb.BatchCheckResult) Outcome {
	switch found := result.GetOutcome().(type) {
	case *pb.BatchCheckResult_Response:
		return Outcome{Answer: answerOf(found.Response)}
	case *pb.BatchCheckResult_Error:
		return Outcome{Err: failed(status.FromProto(found.Error).Err())}
	}
	return Outcome{Err: empty()}
}

func partialOutcomeOf(result *pb.BatchPartialCheckResult) PartialOutcome {
	switch found := result.GetOutcome().(type) {
	case *pb.BatchPartialCheckResult_Response:
		return PartialOutcome{Answer: partialAnswerOf(found.Response)}
	case *pb.BatchPartialCheckResult_Error:
		return PartialOutcome{Err: failed(status.FromProto(found.Error).Err())}
	}
	return PartialOutcome{Err: empty()}
}

func empty() *Error {
	return &Error{codes.Unknown, "", "the answer is empty"}
}

func unanswered() *Error {
	return &Error{codes.Unknown, "", "the daemon did not answer each item of the batch"}
}

// failed returns what a failure of gRPC means.
func failed(err error) *Error {
	found := status.Convert(err)
	result := &Error{Code: found.Code(), Message: found.Message()}
	if result.Code == codes.OK { // an error that says OK is no answer either
		result.Code = codes.Unknown
	}
	for _, detail := range found.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "policyd" {
			result.Reason = info.GetReason()
		}
	}
	return result
}

func errorOf(err error) (*Error, bool) {
	var known *Error
	return known, errors.As(err, &known)
}
