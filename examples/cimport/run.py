"""Surveys what a client sends: four frames, one of them a text that is not UTF-8."""

from survey import survey

from fastframe import FrameEncoder, Opcode, Role

client = FrameEncoder(Role.CLIENT)
client.append(Opcode.TEXT, "Grüße, 世界")
client.append(Opcode.PING, b"still there?")
client.append(Opcode.TEXT, b"\xed\xa0\x80")
client.append(Opcode.BINARY, bytes(70_000))

frames, payload_bytes, invalid_texts = survey(client.take())
print(f"{frames} frames, {payload_bytes} bytes of payload, {invalid_texts} text frame that is not UTF-8")
