from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.editor.positions import CodeUnitPosition, Encoding, Positions, without_surrogates

TEXT = 'a\r\n"𝄞é" b\n\n'


@pytest.mark.parametrize(
    ("encoding", "unit"), [(Encoding.UTF_8, 8), (Encoding.UTF_16, 5), (Encoding.UTF_32, 4)]
)
def test_counts_the_units_of_the_encoding(encoding: Encoding, unit: int) -> None:
    positions = Positions(TEXT, encoding)
    offset = TEXT.index(" b")
    assert positions.position(offset) == CodeUnitPosition(1, unit)
    assert positions.offset(CodeUnitPosition(1, unit)) == offset


def test_a_lone_carriage_return_ends_a_line_for_the_protocol() -> None:
    assert Positions("a\rb", Encoding.UTF_16).position(2) == CodeUnitPosition(1, 0)


@pytest.mark.parametrize(
    ("position", "offset"),
    [
        (CodeUnitPosition(1, 2), 4),  # within the pair of units that is one character
        (CodeUnitPosition(0, 99), 1),  # behind the end of a line, whose break is no part of it
        (CodeUnitPosition(3, 0), len(TEXT)),
        (CodeUnitPosition(99, 3), len(TEXT)),
    ],
)
def test_a_place_that_is_none_counts_as_the_nearest_before_it(
    position: CodeUnitPosition, offset: int
) -> None:
    assert Positions(TEXT, Encoding.UTF_16).offset(position) == offset


@given(st.text(alphabet='ab é𝄞\n"'), st.data())
def test_there_and_back(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    for encoding in Encoding:
        positions = Positions(text, encoding)
        assert positions.offset(positions.position(offset)) == offset


def test_half_a_surrogate_pair_is_replaced_in_its_place() -> None:
    assert without_surrogates("a\ud834b𝄞") == "a\ufffdb𝄞"
