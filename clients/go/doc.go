// Package policyd asks a policyd daemon whether the bearer of an access token may perform an action
// on a resource.
//
// Access is granted by [Answer.Allowed] alone. The zero Answer denies, so a caller that overlooks an
// error denies too. [RefusalOf] turns a deny or an error into the HTTP response that goes with it.
package policyd
