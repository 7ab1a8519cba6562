package policyd

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	pb "policyd.invalid/go/policydv1"
)

// A FilterOutcome is what is certain of all resources of a type.
type FilterOutcome string

const (
	None FilterOutcome = "none" // no resource
	Some FilterOutcome = "some" // those of which the condition is true
	All  FilterOutcome = "all"  // all that have the attributes that their type declares
)

// A Filter says on which resources an action is allowed; the contract's message FilterResponse says
// what each field means. Nothing may be decided by it from ValidUntil on, and where that is zero it
// is used once, at once.
//
// A resource is allowed when Condition, which there is with Some alone, is true of it, and all
// Attributes are as they are declared: one that is not Optional has a value, and where there are
// Values, it is one of these or holds no others. A test of an attribute without a value is unknown,
// and so a filter must not be written for a database by two-valued logic.
type Filter struct {
	Outcome    FilterOutcome
	Condition  FilterCondition
	Attributes []FilterAttribute
	ValidUntil time.Time
	Answer     Answer // as a partial check gives it with all of the resource unknown
}

// A FilterAttribute is what a resource of the type has. Type is that of the contract in lower case,
// such as "set_of_string".
type FilterAttribute struct {
	Name     string
	Type     string
	Optional bool
	Values   []string
}

// A FilterCondition is a [FilterAll], [FilterAny], [FilterNot], [FilterHasSome] or [FilterTest].
type FilterCondition interface{ condition() }

// FilterAll is true when all of these are.
type FilterAll []FilterCondition

// FilterAny is true when one of these is.
type FilterAny []FilterCondition

// FilterNot is true when this is false.
type FilterNot struct{ Condition FilterCondition }

// FilterHasSome is true when the condition is true of one element of an attribute that is a list of
// records; operands in it may be fields of the element.
type FilterHasSome struct {
	Attribute string
	Condition FilterCondition
}

// FilterTest compares. Operator is that of the contract in lower case, such as "starts_with"; Left
// and Right are nil where it has none.
type FilterTest struct {
	Operator    string
	Left, Right *FilterOperand
}

// A FilterOperand is an attribute or a field, by its name, or else a value: a string (also a decimal
// number, an address, a block), an int64 (also a moment, in seconds since 1970), a bool, or a slice
// of these.
type FilterOperand struct {
	Attribute, Field string
	Value            any
	Type             string
}

func (FilterAll) condition()     {}
func (FilterAny) condition()     {}
func (FilterNot) condition()     {}
func (FilterHasSome) condition() {}
func (FilterTest) condition()    {}

// Filter asks on which resources of the question's type its action is allowed: a condition for the
// query of whoever has them. Of the question's resource the type alone counts. What this client does
// not know of a newer daemon's filter is an error. The error is an [*Error].
func (c *Client) Filter(ctx context.Context, question Question) (Filter, error) {
	known, err := checkRequest(question)
	if err != nil {
		return Filter{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.service.Filter(ctx, &pb.FilterRequest{
		AccessToken:  known.GetAccessToken(),
		Api:          known.GetApi(),
		Action:       known.GetAction(),
		ResourceType: question.Resource.Type,
		Context:      known.GetContext(),
		RequestId:    known.GetRequestId(),
		Proof:        known.GetProof(),
	})
	if err != nil {
		return Filter{}, failed(err)
	}
	return filterOf(response)
}

func filterOf(response *pb.FilterResponse) (Filter, error) {
	filter := Filter{Outcome: None, Answer: answerOf(response.GetResponse())}
	switch response.GetOutcome() {
	case pb.FilterOutcome_FILTER_OUTCOME_ALL:
		filter.Outcome = All
	case pb.FilterOutcome_FILTER_OUTCOME_SOME:
		filter.Outcome = Some
		condition, err := conditionOf(response.GetCondition())
		if err != nil {
			return Filter{}, err
		}
		filter.Condition = condition
	}
	for _, one := range response.GetAttributes() {
		type_, err := typeOf(one.GetType())
		if err != nil {
			return Filter{}, err
		}
		filter.Attributes = append(filter.Attributes, FilterAttribute{
			one.GetName(), type_, one.GetOptional(), one.GetValues(),
		})
	}
	if until := response.GetValidUntil(); until != nil {
		filter.ValidUntil = until.AsTime()
	}
	return filter, nil
}

func conditionOf(message *pb.FilterCondition) (FilterCondition, error) {
	switch kind := message.GetKind().(type) {
	case *pb.FilterCondition_All:
		conditions, err := conditionsOf(kind.All)
		return FilterAll(conditions), err
	case *pb.FilterCondition_Any:
		conditions, err := conditionsOf(kind.Any)
		return FilterAny(conditions), err
	case *pb.FilterCondition_Negated:
		inner, err := conditionOf(kind.Negated)
		return FilterNot{inner}, err
	case *pb.FilterCondition_HasSome:
		inner, err := conditionOf(kind.HasSome.GetCondition())
		return FilterHasSome{kind.HasSome.GetAttribute(), inner}, err
	case *pb.FilterCondition_Test:
		return testOf(kind.Test)
	}
	return nil, notKnown("a condition")
}

func conditionsOf(message *pb.FilterConditions) ([]FilterCondition, error) {
	if len(message.GetConditions()) == 0 {
		return nil, notKnown("an empty list of conditions")
	}
	conditions := make([]FilterCondition, len(message.GetConditions()))
	for i, one := range message.GetConditions() {
		condition, err := conditionOf(one)
		if err != nil {
			return nil, err
		}
		conditions[i] = condition
	}
	return conditions, nil
}

func testOf(message *pb.FilterTest) (FilterCondition, error) {
	name, ok := nameOf(pb.FilterOperator_name, int32(message.GetOperator()), "FILTER_OPERATOR_")
	if !ok {
		return nil, notKnown("a test")
	}
	left, err := operandOf(message.GetLeft())
	if err != nil {
		return nil, err
	}
	right, err := operandOf(message.GetRight())
	return FilterTest{name, left, right}, err
}

func operandOf(message *pb.FilterOperand) (*FilterOperand, error) {
	if message == nil {
		return nil, nil
	}
	type_, err := typeOf(message.GetType())
	if err != nil {
		return nil, err
	}
	operand := &FilterOperand{Type: type_}
	switch kind := message.GetKind().(type) {
	case *pb.FilterOperand_Attribute:
		operand.Attribute = kind.Attribute
	case *pb.FilterOperand_Field:
		operand.Field = kind.Field
	case *pb.FilterOperand_Value:
		operand.Value, err = filterValueOf(kind.Value)
	default:
		err = notKnown("an operand")
	}
	return operand, err
}

func filterValueOf(message *pb.FilterValue) (any, error) {
	switch kind := message.GetKind().(type) {
	case *pb.FilterValue_Text:
		return kind.Text, nil
	case *pb.FilterValue_Number:
		return kind.Number, nil
	case *pb.FilterValue_Truth:
		return kind.Truth, nil
	case *pb.FilterValue_Set:
		elements := make([]any, len(kind.Set.GetValues()))
		for i, one := range kind.Set.GetValues() {
			element, err := filterValueOf(one)
			if err != nil {
				return nil, err
			}
			elements[i] = element
		}
		return elements, nil
	}
	return nil, notKnown("a value")
}

func typeOf(number pb.FilterType) (string, error) {
	name, ok := nameOf(pb.FilterType_name, int32(number), "FILTER_TYPE_")
	if !ok {
		return "", notKnown("a type")
	}
	return name, nil
}

// nameOf returns an enumerator in lower case, without its prefix; the first is never sent.
func nameOf(names map[int32]string, number int32, prefix string) (string, bool) {
	name, ok := names[number]
	return strings.ToLower(strings.TrimPrefix(name, prefix)), ok && number != 0
}

// notKnown is the error for what only a newer client knows: without it, a filter is another.
func notKnown(what string) *Error {
	return &Error{codes.Unknown, "", "the filter has " + what + " that this client does not know"}
}
