"""Answers about tokens: remembered for a while, and bounded."""

from __future__ import annotations

from policyd.tokens.endpoints.pending import AnswerCache, TokenPending


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_an_answer_counts_until_its_time() -> None:
    answers: AnswerCache[str] = AnswerCache()
    assert answers.get(digest(1), 0) is None
    answers.put(digest(1), "yes", 10, 3)
    found = answers.get(digest(1), 9.9)
    assert found is not None
    assert (found.value, found.until) == ("yes", 10)
    assert answers.get(digest(1), 10) is None
    assert answers.get(digest(2), 0) is None


def test_a_later_answer_takes_the_place_of_an_earlier_one() -> None:
    answers: AnswerCache[str] = AnswerCache()
    answers.put(digest(1), "yes", 10, 3)
    answers.put(digest(1), "no", 20, 2)
    found = answers.get(digest(1), 15)
    assert found is not None
    assert found.value == "no"
    assert len(answers) == 1


def test_they_are_bounded_in_number_and_the_oldest_leaves() -> None:
    answers: AnswerCache[int] = AnswerCache(max_entries=3)
    for number in range(5):
        answers.put(digest(number), number, 10, 0)
    assert len(answers) == 3
    assert [number for number in range(5) if answers.get(digest(number), 0)] == [2, 3, 4]


def test_they_are_bounded_in_bytes() -> None:
    answers: AnswerCache[int] = AnswerCache(max_bytes=100_000)
    for number in range(50):
        answers.put(digest(number), number, 10, 10_000)
    assert len(answers) == 2


def test_the_longest_answer_has_room() -> None:
    """256 KiB is the most that is read of a response."""
    answers: AnswerCache[int] = AnswerCache()
    answers.put(digest(1), 1, 10, 256 * 1024)
    assert answers.get(digest(1), 0) is not None


def test_an_answer_that_leaves_while_it_is_looked_up_is_no_defect() -> None:
    """Another thread may put an answer in, and another out, at any moment of a look-up."""
    answers: AnswerCache[str] = AnswerCache(max_entries=1)

    class Contested(bytes):
        looks = 0

        def __eq__(self, other: object) -> bool:
            return super().__eq__(other)

        def __hash__(self) -> int:
            self.looks += 1
            if self.looks == 2:
                answers.put(digest(2), "other", 10, 5)
            return super().__hash__()

    answers.put(digest(1), "yes", 10, 3)
    found = answers.get(Contested(digest(1)), 0)
    assert found is None or found.value == "yes"


def test_what_is_forgotten_counts_no_more() -> None:
    answers: AnswerCache[str] = AnswerCache()
    answers.put(digest(1), "yes", 10, 3)
    for _ in range(2):
        answers.forget(digest(1))
        assert answers.get(digest(1), 0) is None


def test_a_pending_token_says_so() -> None:
    pending = TokenPending("key", lambda: None, lambda: None)

    assert str(pending) == "an issuer has to be asked about the token"
    assert pending.key == "key"
