"""A DPoP proof is good for one method, URI, token and key, and for nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd.tokens.model import SenderProof
from policyd.tokens.refusals import TokenBindingInvalid
from tests.support.proofs import bound_token, proof, sender, sent, verifying
from tests.support.tokens import HEALTH, NOW

KEYS = [sender(name=name) for name in ("sender", "stranger")]
TOKENS = [
    [bound_token(key, subject) for subject in ("auth0|123456", "auth0|654321")] for key in KEYS
]
METHODS = ["GET", "POST", "get", "P"]
HOSTS = ["a.example", "A.EXAMPLE", "a.example:443", "b.example", "a.example:444"]
PATHS = ["", "/", "/a", "/a/", "/A", "/%61", "/a/../a", "/a;b"]
ENDS = ["", "?", "?x=1", "#x", "?x=/a#/b"]

uris = st.tuples(
    st.sampled_from(["https", "HTTPS", "http"]),
    st.sampled_from(HOSTS),
    st.sampled_from(PATHS),
    st.sampled_from(ENDS),
)
methods, either = st.sampled_from(METHODS), st.sampled_from([0, 1])
# Two requests that differ in none, some or all of what a proof is for.
pairs = st.tuples(methods, uris, either, either).flatmap(
    lambda one: st.tuples(
        st.just(one),
        st.tuples(
            st.just(one[0]) | methods,
            st.just(one[1]) | uris,
            st.just(one[2]) | either,
            st.just(one[3]) | either,
        ),
    )
)

Uri = tuple[str, str, str, str]
Request = tuple[str, Uri, int, int]


def means(uri: Uri) -> tuple[str, str, str]:
    """What a URI is for, told from the parts that it was made of."""
    scheme, host, path, _ = uri
    host = host.lower()
    return scheme.lower(), host.removesuffix(":443") if scheme != "http" else host, path or "/"


def text(uri: Uri) -> str:
    scheme, host, path, end = uri
    return f"{scheme}://{host}{path}{end}"


@given(pair=pairs)
def test_a_proof_is_for_one_request(pair: tuple[Request, Request]) -> None:
    (method, uri, key, subject), came_with = pair
    shown = proof(TOKENS[key][subject], by=KEYS[key], htm=method, htu=text(uri))
    its_method, its_uri, its_key, its_subject = came_with
    came = SenderProof((shown,), its_method, text(its_uri))
    fits = (method, means(uri), key, subject) == (
        its_method,
        means(its_uri),
        its_key,
        its_subject,
    )
    assert is_accepted(TOKENS[its_key][its_subject], came) == fits


@given(data=st.data())
def test_a_proof_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    genuine = proof()
    place = data.draw(st.integers(0, len(genuine) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda each: each != genuine[place]))
    changed = genuine[:place] + other + genuine[place + 1 :]
    assert is_accepted(bound_token(), sent(genuine))
    assert not is_accepted(bound_token(), sent(changed))


@given(garbage=st.one_of(st.text(), st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True)))
def test_garbage_is_refused_and_breaks_nothing(garbage: str) -> None:
    assert not is_accepted(bound_token(), sent(garbage))


@given(came=st.builds(SenderProof, st.lists(st.text()).map(tuple), *[st.text()] * 4))
def test_whatever_comes_along_a_bound_token_without_its_proof_is_refused(came: SenderProof) -> None:
    assert not is_accepted(bound_token(), came)


def is_accepted(access_token: str, came: SenderProof) -> bool:
    try:
        verifying().verify(access_token, HEALTH, NOW, came)
    except TokenBindingInvalid:
        return False
    return True
