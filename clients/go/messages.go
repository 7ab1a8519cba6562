package policyd

import (
	"crypto/rand"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	pb "policyd.invalid/go/policydv1"
)

func checkRequest(question Question) (*pb.CheckRequest, error) {
	token, err := bareToken(question.Token)
	if err != nil {
		return nil, err
	}
	resource, err := resourceMessage(question.Resource)
	if err != nil {
		return nil, err
	}
	context, err := contextMessage(question.Context)
	if err != nil {
		return nil, err
	}
	return &pb.CheckRequest{
		AccessToken: token,
		Api:         question.API,
		Action:      question.Action,
		Resource:    resource,
		Context:     context,
		RequestId:   requestID(question.RequestID, question.Proof),
		Proof:       proofMessage(question.Proof),
	}, nil
}

func batchCheckRequest(batch Batch) (*pb.BatchCheckRequest, error) {
	token, err := bareToken(batch.Token)
	if err != nil {
		return nil, err
	}
	context, err := contextMessage(batch.Context)
	if err != nil {
		return nil, err
	}
	items := make([]*pb.BatchCheckItem, len(batch.Items))
	for i, item := range batch.Items {
		resource, err := resourceMessage(item.Resource)
		if err != nil {
			return nil, err
		}
		items[i] = &pb.BatchCheckItem{Action: item.Action, Resource: resource}
	}
	return &pb.BatchCheckRequest{
		AccessToken: token,
		Api:         batch.API,
		Context:     context,
		Proof:       proofMessage(batch.Proof),
		Items:       items,
		RequestId:   requestID(batch.RequestID, batch.Proof),
	}, nil
}

func partialCheckRequest(question Question, unknown []string) (*pb.PartialCheckRequest, error) {
	known, err := checkRequest(question)
	if err != nil {
		return nil, err
	}
	return &pb.PartialCheckRequest{
		AccessToken:    known.GetAccessToken(),
		Api:            known.GetApi(),
		Action:         known.GetAction(),
		Resource:       known.GetResource(),
		Context:        known.GetContext(),
		RequestId:      known.GetRequestId(),
		Proof:          known.GetProof(),
		AssumedUnknown: unknown,
	}, nil
}

func batchPartialCheckRequest(batch Batch, unknown []string) (*pb.BatchPartialCheckRequest, error) {
	known, err := batchCheckRequest(batch)
	if err != nil {
		return nil, err
	}
	return &pb.BatchPartialCheckRequest{
		AccessToken:    known.GetAccessToken(),
		Api:            known.GetApi(),
		Context:        known.GetContext(),
		Proof:          known.GetProof(),
		Items:          known.GetItems(),
		RequestId:      known.GetRequestId(),
		AssumedUnknown: unknown,
	}, nil
}

func resourceMessage(resource Resource) (*pb.Resource, error) {
	what := "`" + resource.Type + "` attribute"
	properties, err := structOf(resource.Properties, what, "ATTRIBUTE_INVALID")
	if err != nil {
		return nil, err
	}
	return &pb.Resource{Type: resource.Type, Id: resource.ID, Properties: properties}, nil
}

func contextMessage(context map[string]any) (*structpb.Struct, error) {
	return structOf(context, "context entry", "CONTEXT_INVALID")
}

func proofMessage(proof *Proof) *pb.SenderProof {
	if proof == nil {
		return nil
	}
	return &pb.SenderProof{
		DpopProofs:              proof.DPoPProofs,
		HttpMethod:              proof.HTTPMethod,
		HttpUri:                 proof.HTTPURI,
		ClientCertificateSha256: proof.ClientCertificateSHA256,
	}
}

// requestID names a request with a proof: a repetition of the call is no second use of the proof.
func requestID(given string, proof *Proof) string {
	if given == "" && proof != nil {
		return rand.Text()
	}
	return given
}

const space = " \t\r\n\v\f"

// bareToken takes off "Bearer " and white space: a file that holds a token ends in a newline, and a
// header field begins with its scheme (RFC 6750, section 2.1). What else is wrong with a token the
// daemon says.
func bareToken(given string) (string, error) {
	token := strings.Trim(given, space)
	scheme, rest, found := strings.Cut(token, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return strings.Trim(rest, space), nil
	case found && strings.EqualFold(scheme, "DPoP"):
		return "", invalid("TOKEN_MALFORMED", "the token has `DPoP ` before it: pass what follows, "+
			"and the request's DPoP header fields as Proof")
	}
	return token, nil
}

func answerOf(response *pb.CheckResponse) Answer {
	answer := Answer{
		Allowed:         response.GetAllowed(),
		Reason:          response.GetReason(),
		Message:         response.GetMessage(),
		Rules:           response.GetRules(),
		RulesTruncated:  response.GetRulesTruncated(),
		MissingScopes:   response.GetMissingScopes(),
		UnknownFacts:    response.GetUnknownFacts(),
		HTTPStatus:      int(response.GetHttpStatus()),
		WWWAuthenticate: response.GetWwwAuthenticate(),
		RetryAfter:      time.Duration(response.GetRetryAfterSeconds()) * time.Second,
		DPoPNonce:       response.GetDpopNonce(),
		DecisionID:      response.GetDecisionId(),
		PolicyRevision:  response.GetPolicyRevision(),
		SearchStopped:   response.GetSearchStopped(),
	}
	if until := response.GetCacheableUntil(); until != nil {
		answer.CacheableUntil = until.AsTime()
	}
	if subject := response.GetSubject(); subject != nil {
		answer.Subject = &Subject{
			Subject: subject.GetSubject(),
			Issuer:  subject.GetIssuer(),
			Client:  subject.GetClient(),
			Kind:    kinds[subject.GetKind()],

			Scopes:          subject.GetScopes(),
			ScopesTruncated: subject.GetScopesTruncated(),
			Actor:           subject.GetActor(),
		}
		if expires := subject.GetExpiresAt(); expires != nil {
			answer.Subject.ExpiresAt = expires.AsTime()
		}
	}
	return answer
}

func partialAnswerOf(response *pb.PartialCheckResponse) PartialAnswer {
	return PartialAnswer{
		Outcome:       certainties[response.GetOutcome()],
		DependsOn:     response.GetDependsOn(),
		SearchStopped: response.GetSearchStopped(),
		Answer:        answerOf(response.GetResponse()),
	}
}

var certainties = map[pb.PartialOutcome]Certainty{
	pb.PartialOutcome_PARTIAL_OUTCOME_ALLOW: Allow,
	pb.PartialOutcome_PARTIAL_OUTCOME_DENY:  Deny,
	pb.PartialOutcome_PARTIAL_OUTCOME_MAYBE: Maybe,
}

var kinds = map[pb.SubjectKind]SubjectKind{
	pb.SubjectKind_SUBJECT_KIND_USER:        User,
	pb.SubjectKind_SUBJECT_KIND_APPLICATION: Application,
}
