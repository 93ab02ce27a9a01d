"""The diagrams of docs/protocol.md are those that the codec's bytes give today."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from snippets import ROOT

from tools.protocol_diagram import IMAGES, conversation, pictures

NAMES = ["protocol-conversation.svg", "protocol-frame.svg"]


def test_all_are_on_the_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    assert sorted(pictures()) == NAMES
    assert [name for name in NAMES if f"(images/{name})" in page] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_up_to_date(name: str) -> None:
    stored = (IMAGES / name).read_text("utf-8")
    assert stored == pictures()[name], "run: python -m tools.protocol_diagram"
    ElementTree.fromstring(stored)


def test_the_conversation_has_both_directions_and_every_opcode() -> None:
    frames = [step for step in conversation() if step.data[0] not in b"GH"]
    assert {step.data[0] & 0xF for step in frames} == {0, 1, 8, 9, 10}
    assert {step.from_client for step in frames} == {True, False}
    for step in frames:
        assert step.from_client == bool(step.data[1] & 0x80), step
