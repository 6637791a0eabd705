"""Valid files made hostile: bytes, numbers, tokens and values put where none expects them."""

import json
import re
import struct
import tomllib
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZipFile

import tomli_w

NUMBERS = (0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 65535, 10**5, 2**31 - 1, 2**31, 2**32 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "nan", "\0", "\ud800", "<img src=x onerror=alert(1)>", "9" * 300),
    *(0, 1, -1, 3, 0.5, 16, 255, 2**31, 2**63, 10**30, 10**400),
    *(float("nan"), float("inf"), -float("inf"), 1e308, -0.0),
    *(
        [],
        {},
        [[]],
        [0],
        [1, 28, 28],
        [10**9, 10**9, 10**9],
        ["0"],
        {"": 0},
        {"99": [[0.0], [1.0]]},
    ),
)
TOKENS = (
    *(b"", b"nan", b"inf", b"-1", b"0", b"1e999", b"9" * 5000, b"null", b"true", b'"', b"'''"),
    *(b"[" * 3000, b"{" * 3000, b'{"a":' * 3000, b"[[[", b"]]", b"{}", b"=", b"\n", b"\r", b"\0"),
    *(b"\xff\xfe", b"\xed\xa0\x80", b"/dev/zero", b"../" * 60, b"x" * 5000, b"a=" * 50),
)
WORDS = re.compile(rb"[\w.+-]+")


def mutated(name: str, content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A file with some things changed.

    Args:
        name: of the file; its ending tells what may be changed inside.
        content: of a valid file, or one that was changed before.
        random: what decides.
        others: contents of other files, parts of which may be put in.
    """
    inner = INSIDES.get(Path(name).suffix.lower())
    if inner and random.random() < 0.6:
        try:
            return inner(content, random, others)
        except Exception:
            pass  # too broken by now to be taken apart
    return scrambled(content, random, others)


def scrambled(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Bytes changed, put in, taken out, cut off, or taken from another file."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(min(len(data), random.choice((64, 512, 1 << 30))) + 1)
        match random.randrange(8):
            case 0:
                data[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                form = random.choice("<>") + random.choice("BHIQ")
                number = random.choice(NUMBERS) % 2 ** (8 * struct.calcsize(form))
                data[at : at + struct.calcsize(form)] = struct.pack(form, number)
            case 2:
                del data[at : at + random.choice((1, 2, 4, 16, 256))]
            case 3:
                data[at:at] = random.choice(TOKENS)
            case 4:
                del data[at:]
            case 5:
                other = random.choice(others)
                cut = random.randrange(len(other) + 1)
                data[at:] = other[cut : cut + 1 << 16]
            case 6:
                data[at:at] = data[at : at + random.choice((4, 64, 1024))] * random.choice((1, 8))
            case _:
                words = list(WORDS.finditer(data, 0, 1 << 16))
                if words:
                    word = random.choice(words)
                    data[word.start() : word.end()] = random.choice(TOKENS)
    return bytes(data[: 1 << 22])


def changed(value: Any, random: Random) -> Any:
    """Nested values with one of them replaced, left out or doubled."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        match random.randrange(12):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, random.choice(("", "0", "99", "x", "\ud800")): value[key]}
        return {**value, key: changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        i = random.randrange(len(value))
        match random.randrange(8):
            case 0:
                return value[:i]
            case 1:
                return value * 2
        return [*value[:i], changed(value[i], random), *value[i + 1 :]]
    return random.choice(VALUES)


def in_json(content: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """A value of JSON."""
    return json.dumps(changed(json.loads(content), random)).encode()


def in_lines(content: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """A value of JSON, one a line."""
    rows = changed([json.loads(line) for line in content.splitlines()], random)
    return "\n".join(map(json.dumps, rows)).encode()


def in_toml(content: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """A value of TOML."""
    return tomli_w.dumps(changed(tomllib.loads(content.decode()), random)).encode()


def in_safetensors(content: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """A value of the header, or of the JSON that lies in it."""
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    state = header.get("__metadata__", {}).get("mcevae")
    if state and random.random() < 0.7:
        header["__metadata__"]["mcevae"] = json.dumps(changed(json.loads(state), random))
    else:
        header = changed(header, random)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def in_png(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """The content of a chunk, with a checksum that is right."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + size]])
        at += size + 12
    chosen = random.choice(chunks)
    if chosen[0] == b"IDAT" and random.random() < 0.5:
        chosen[1] = zlib.compress(scrambled(zlib.decompress(chosen[1]), random, others))
    else:
        chosen[1] = scrambled(chosen[1], random, others)
    sealed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return content[:8] + b"".join(sealed)


def in_zip(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A member of an archive."""
    with ZipFile(BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = random.choice(list(members))
    members[chosen] = mutated(chosen, members[chosen], random, others)
    made = BytesIO()
    with ZipFile(made, "w", random.choice((0, 8))) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return made.getvalue()


def in_npy(content: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """The shape or the kind of number that an array's header tells."""
    (size,) = struct.unpack_from("<H", content, 8)
    header = content[10 : 10 + size].decode("latin1")
    if random.random() < 0.7:
        sides = [random.choice((0, 1, 2, 28, 10**5, 10**9, 10**15, -1)) for _ in range(4)]
        shape = ", ".join(map(str, sides[: random.randrange(5)]))
        header = re.sub(r"'shape': \(.*?\)", f"'shape': ({shape},)", header)
    else:
        kind = random.choice(("|O", "<f8", "<c16", "|b1", "<U9", "<M8[s]", "|V0", "|S0", ">f2"))
        header = re.sub(r"'descr': '.*?'", f"'descr': '{kind}'", header)
    return content[:8] + struct.pack("<H", len(header)) + header.encode() + content[10 + size :]


INSIDES: dict[str, Callable[[bytes, Random, Sequence[bytes]], bytes]] = {
    ".json": in_json,
    ".jsonl": in_lines,
    ".toml": in_toml,
    ".safetensors": in_safetensors,
    ".png": in_png,
    ".npz": in_zip,
    ".npy": in_npy,
}
"""How files of each ending are taken apart, changed inside and put together again."""
