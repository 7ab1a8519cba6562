r"""Paths that two programs may understand differently, each beside one that nobody can.

A caller may read every order but `/orders/secret`. Each attack asks for something by a path that a
gateway, policyd and the service behind them could take for different things: it must not reach the
service. Its twin looks alike and is in normal form: it reaches the service byte by byte.
Characters stand for octets (Latin-1); `HERE` stands for the gateway's own address.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Confusion(NamedTuple):
    attack: str
    twin: str


CONFUSIONS: Final = tuple(
    Confusion(attack, twin)
    for attack, twin in (
        # Dot segments.
        ("/orders/7/../secret", "/orders/7..secret"),
        ("/orders/./secret", "/orders/.secret"),
        ("/x/../orders/secret", "/orders/x..secret"),
        ("/orders/../orders/secret", "/orders/..secret"),
        ("/orders/7/.", "/orders/7."),
        ("/orders/7/..", "/orders/7.."),
        ("/./orders/7", "/orders/.7"),
        ("/../orders/7", "/orders/..7"),
        ("/orders/.../secret", "/orders/..."),
        ("/orders/7/../../orders/secret", "/orders/7....secret"),
        # Dots that are encoded, once or twice.
        ("/orders/%2e%2e/orders/7", "/orders/a%2Bb"),
        ("/orders/%2e/secret", "/orders/a%26b"),
        ("/orders/.%2e/orders/secret", "/orders/a%3Db"),
        ("/orders/%2E./secret", "/orders/a%40b"),
        ("/orders/7%2e%2e", "/orders/7%C3%A9"),
        ("/orders/%252e%252e/secret", "/orders/%252e%252e"),
        ("/orders/%c0%ae%c0%ae/secret", "/orders/%C2%AE"),
        ("/orders/%EF%BC%8E%EF%BC%8E/secret", "/orders/%EF%BC%8E%EF%BC%8E"),
        # Empty segments.
        ("/orders//secret", "/orders/secrets"),
        ("//orders/7", "/orders/7"),
        ("///orders/7", "/orders/77"),
        ("/orders/7/", "/orders/70"),
        ("/orders/7//", "/orders/700"),
        ("/orders/", "/orders"),
        ("//HERE/orders/7", "/orders/HERE"),
        # Slashes that are encoded.
        ("/orders/7%2fsecret", "/orders/7%2Csecret"),
        ("/orders/7%2Fsecret", "/orders/7,secret"),
        ("/orders%2f7", "/orders/%2A7"),
        ("/orders%2Fsecret", "/orders/*secret"),
        ("/orders/7%2f..%2fsecret", "/orders/7-..-secret"),
        ("/orders/..%2f7", "/orders/..-7"),
        ("/orders/..%2Forders%2Fsecret", "/orders/..orders-secret"),
        ("/%2forders/7", "/orders/_7"),
        ("/orders/%252f..%252fsecret/", "/orders/%252f..%252fsecret"),
        # Backslashes.
        ("/orders\\7", "/orders/7~"),
        ("/orders/7\\..\\secret", "/orders/7~..~secret"),
        ("/orders/7%5c..%5csecret", "/orders/7%7C..%7Csecret"),
        ("/orders/7%5C", "/orders/7%7C"),
        # What need not be encoded, or is so in another way.
        ("/orders/%73ecret", "/orders/%24ecret"),
        ("/%6frders/7", "/orders/!7"),
        ("/orders/secre%74", "/orders/secre%21"),
        ("/orders/%7euser", "/orders/~user"),
        ("/orders/a%3ab", "/orders/a%3Ab"),
        ("/orders/%c3%a9", "/orders/%C3%A9"),
        ("/orders/%u0073ecret", "/orders/u0073ecret"),
        # What is no UTF-8.
        ("/orders/%c0%afsecret", "/orders/%C2%AFsecret"),
        ("/orders/%FF", "/orders/%F0%9F%98%80"),
        ("/orders/%C3", "/orders/%C3%BC"),
        ("/orders/%ED%A0%80", "/orders/%EE%80%80"),
        ("/orders/\xe9", "/orders/e"),
        ("/orders/\xef\xbc\x8e\xef\xbc\x8e/secret", "/orders/%C3%AA"),
        # What ends a text, a line or a name.
        ("/orders/secret%00", "/orders/secret0"),
        ("/orders/secret%00.json", "/orders/secret.json"),
        ("/orders/7%0d%0aX-Policyd-Subject:%20root", "/orders/7%20X-Policyd-Subject:%20root"),
        ("/orders/secret%09", "/orders/secret%20"),
        ("/orders/7%7F", "/orders/7-7"),
        # Parameters of a segment.
        ("/orders/7;v=1", "/orders/7%3Bv=1"),
        ("/orders/secret;jsessionid=1", "/orders/secret%3Bjsessionid=1"),
        ("/orders;/7", "/orders/:7"),
        ("/;/orders/7", "/orders/(7)"),
        # Signs of percent that encode nothing.
        ("/orders/%zz", "/orders/%25zz"),
        ("/orders/%", "/orders/%25"),
        ("/orders/7%2", "/orders/7%252"),
        ("/orders/%%32%65", "/orders/%2532%2565"),
        # Where the path ends.
        ("/orders/secret?/orders/7", "/orders/7?/orders/secret"),
        ("/orders/secret?/../7", "/orders/7?/../secret"),
        ("/orders/secret#/orders/7", "/orders/7%23"),
        ("http://HERE/orders/7/../secret", "/orders/7?http://HERE/orders/secret"),
        # Letters.
        ("/Orders/7", "/orders/A"),
        ("/ORDERS", "/orders/ORDERS"),
    )
)
