"""The 43 requests of AuthZEN's interoperability scenario Todo: five users, two kinds of things.

The scenario tells the users apart by opaque identifiers, and leaves it to the decision point to
know their roles and addresses; so the policy does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from policyd.json_types import Json
from tests.server.test_authzen import ONE, SEVERAL, decisions
from tests.support.daemon import Site
from tests.support.web import addresses, send

#: Each user's address, and the role that the scenario gives him or her.
USERS = {
    "rick": ("rick@the-citadel.com", "admin"),
    "morty": ("morty@the-citadel.com", "editor"),
    "summer": ("summer@the-smiths.com", "editor"),
    "beth": ("beth@the-smiths.com", "viewer"),
    "jerry": ("jerry@the-smiths.com", "viewer"),
}
IDS = {
    name: f"CiRmZD{letter}2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs"
    for name, letter in zip(USERS, ("A", "E", "I", "M", "Q"), strict=True)
}
TODO = """\
api todo

audience "https://example.com/todo"

resource user {
    actions can_read_user
}

resource todo {
    ownerID: string?
    actions can_read_todos, can_create_todo, can_update_todo, can_delete_todo
}

define rick   as token.subject == "{rick}"
define morty  as token.subject == "{morty}"
define summer as token.subject == "{summer}"
define member as rick or morty or summer or token.subject == "{beth}" or token.subject == "{jerry}"
define own
    as (morty and resource.ownerID == "morty@the-citadel.com")
    or (summer and resource.ownerID == "summer@the-smiths.com")

allow members-see-users: can_read_user on user
    when member

allow members-see-todos: can_read_todos on todo
    when member

allow editors-create: can_create_todo on todo
    when rick or morty or summer

allow admins-change: can_update_todo, can_delete_todo on todo
    when rick

allow editors-change: can_update_todo, can_delete_todo on todo
    when own
"""


def subject(name: str) -> Json:
    return {"type": "user", "id": IDS[name]}


def todo(owner: str | None = None) -> Json:
    made: dict[str, Json] = {"type": "todo", "id": "todo-1" if owner is None else "7240d0db"}
    return made if owner is None else {**made, "properties": {"ownerID": USERS[owner][0]}}


def single() -> Iterator[tuple[dict[str, Json], bool]]:
    """Yield forty requests, eight a user, and what is expected of each."""
    for name, (_, role) in USERS.items():
        other = "morty" if name == "rick" else "rick"
        creates = role in ("admin", "editor")
        beth: Json = {"type": "user", "id": USERS["beth"][0]}
        for action, resource, expected in (
            ("can_read_user", beth, True),
            ("can_read_user", subject(name), True),
            ("can_read_todos", todo(), True),
            ("can_create_todo", todo(), creates),
            ("can_update_todo", todo(other), role == "admin"),
            ("can_update_todo", todo(name), creates),
            ("can_delete_todo", todo(other), role == "admin"),
            ("can_delete_todo", todo(name), creates),
        ):
            yield (
                {"subject": subject(name), "action": {"name": action}, "resource": resource},
                expected,
            )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = Site(tmp_path_factory.mktemp("daemon"))
    policy = TODO
    for name, identifier in IDS.items():
        policy = policy.replace(f"{{{name}}}", identifier)
    (site.policies / "todo.policy").write_text(policy)
    site.listen(
        'address = "unix:authzen"\nservices = ["authzen"]\nmode = "0600"',
        further='[authzen]\napi = "todo"\nasserted = ["todo"]',
    )
    text = (site.folder / "policyd.toml").read_text()
    (site.folder / "policyd.toml").write_text(f'{text}apis = ["health"]\n')
    with site.start() as daemon:
        (found,) = addresses(daemon)
        yield found


def test_forty_evaluations(address: str) -> None:
    asked = list(single())
    assert len(asked) == 40
    for body, expected in asked:
        told = send(address, "POST", ONE, body)
        assert (told.status, told.json()["decision"]) == (200, expected), body


@pytest.mark.parametrize(
    ("name", "owners", "expected"),
    [
        ("rick", ("rick", "jerry"), [True, True]),
        ("morty", ("rick", "morty"), [False, True]),
        ("jerry", ("rick", "jerry"), [False, False]),
    ],
)
def test_three_batches(
    address: str, name: str, owners: tuple[str, ...], expected: list[bool]
) -> None:
    body: dict[str, Json] = {
        "subject": subject(name),
        "action": {"name": "can_update_todo"},
        "evaluations": [{"resource": todo(owner)} for owner in owners],
    }
    assert decisions(send(address, "POST", SEVERAL, body)) == expected
