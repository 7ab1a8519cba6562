package policyd

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

const (
	deepest  = 32        // the daemon's own bound; what holds itself ends here too
	greatest = 1<<53 - 1 // of the integers that binary64 holds exactly
)

// unsupported is what is wrong with a value, and the path to it within the attribute.
type unsupported struct{ path, problem string }

// structOf returns values as a Struct. What JSON lacks is an error that names the attribute; what
// is how messages call an entry.
func structOf(values map[string]any, what, reason string) (*structpb.Struct, error) {
	fields := make(map[string]*structpb.Value, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !utf8.ValidString(name) {
			return nil, invalid(reason, "the name of a %s is no UTF-8: %q", what, name)
		}
		found, problem := valueOf(reflect.ValueOf(values[name]), "", 1)
		if problem != nil {
			return nil, invalid(reason, "%s `%s%s` is %s", what, name, problem.path, problem.problem)
		}
		fields[name] = found
	}
	return &structpb.Struct{Fields: fields}, nil
}

func valueOf(value reflect.Value, path string, depth int) (*structpb.Value, *unsupported) {
	if depth > deepest {
		return nil, &unsupported{"", fmt.Sprintf("nested deeper than %d levels", deepest)}
	}
	switch value.Kind() {
	case reflect.Invalid:
		return structpb.NewNullValue(), nil
	case reflect.Interface:
		return valueOf(value.Elem(), path, depth)
	case reflect.Bool:
		return structpb.NewBoolValue(value.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if number := value.Int(); number < -greatest || number > greatest {
			return nil, inexact(path, number)
		}
		return structpb.NewNumberValue(float64(value.Int())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if number := value.Uint(); number > greatest {
			return nil, inexact(path, number)
		}
		return structpb.NewNumberValue(float64(value.Uint())), nil
	case reflect.Float32, reflect.Float64:
		number := value.Float()
		if math.IsNaN(number) || math.IsInf(number, 0) {
			return nil, &unsupported{path, fmt.Sprintf("%v, which JSON does not have", number)}
		}
		return structpb.NewNumberValue(number), nil
	case reflect.String:
		if !utf8.ValidString(value.String()) {
			return nil, &unsupported{path, "a text that is no UTF-8"}
		}
		return structpb.NewStringValue(value.String()), nil
	case reflect.Slice, reflect.Array:
		return listOf(value, path, depth)
	case reflect.Map:
		return objectOf(value, path, depth)
	}
	return nil, lacking(value, path, "a text, a number, a boolean, a slice or a map")
}

func inexact(path string, number any) *unsupported {
	problem := fmt.Sprintf("%v, which binary64 does not hold exactly: pass a text", number)
	return &unsupported{path, problem}
}

func lacking(value reflect.Value, path, instead string) *unsupported {
	problem := fmt.Sprintf("a %s, which JSON does not have: pass %s", value.Type(), instead)
	return &unsupported{path, problem}
}

func listOf(list reflect.Value, path string, depth int) (*structpb.Value, *unsupported) {
	if list.Type().Elem().Kind() == reflect.Uint8 {
		return nil, lacking(list, path, "a text")
	}
	values := make([]*structpb.Value, list.Len())
	for i := range values {
		found, problem := valueOf(list.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
		if problem != nil {
			return nil, problem
		}
		values[i] = found
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values}), nil
}

func objectOf(object reflect.Value, path string, depth int) (*structpb.Value, *unsupported) {
	if object.Type().Key().Kind() != reflect.String {
		return nil, lacking(object, path, "a map whose keys are strings")
	}
	fields := make(map[string]*structpb.Value, object.Len())
	for _, key := range slices.SortedFunc(slices.Values(object.MapKeys()), byName) {
		name := key.String()
		if !utf8.ValidString(name) {
			return nil, &unsupported{path, fmt.Sprintf("an object with a name that is no UTF-8: %q", name)}
		}
		found, problem := valueOf(object.MapIndex(key), path+"."+name, depth+1)
		if problem != nil {
			return nil, problem
		}
		fields[name] = found
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields}), nil
}

// byName has the first wrong entry be the same one each time.
func byName(a, b reflect.Value) int {
	return cmp.Compare(a.String(), b.String())
}
