"""The keystream: the blocks it names, that no two places share one, and that its key goes nowhere."""

import copy
import hashlib
import hmac
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from discreet.errors import InvalidInput
from discreet.mechanisms import Rng
from discreet.testing import FixedRng
from discreet.train.keystream import KEY_BYTES, Keystream, fresh_key

KEY = bytes(range(32))


def by_hand(label, step, block):
    """Return one block of 16 bytes from the definition: AES-256 of the counter (step, block), under the label's key."""
    subkey = hmac.new(KEY, b"discreet.train keystream 1\0" + label.encode(), hashlib.sha256).digest()
    counter = step.to_bytes(8, "big") + block.to_bytes(8, "big")
    return Cipher(algorithms.AES(subkey), modes.ECB()).encryptor().update(counter)


@pytest.mark.parametrize(("step", "offset"), [(0, 0), (7, 6), (2**64 - 1, 2**64 - 8)])
def test_words_are_the_blocks_of_aes(step, offset):
    found = Keystream(KEY).words("a label", step, 8, offset)
    assert found.tobytes() == b"".join(by_hand("a label", step, offset // 2 + i) for i in range(4))
    assert found.dtype == np.dtype("<u8")


@pytest.mark.parametrize("offset", [0, 1, 2, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_a_stretch_does_not_depend_on_where_it_was_begun(offset, n):
    stream = Keystream(KEY)
    assert stream.words("x", 3, n, offset).tolist() == stream.words("x", 3, 40)[offset : offset + n].tolist()


def test_no_two_places_share_a_block():
    stream = Keystream(fresh_key(Rng()))
    blocks = [
        bytes(block)
        for label in ("noise/1", "noise/'1'", "noise/11", "sampling/coins")
        for step in (0, 1, 2**32, 2**63)
        for offset in (0, 2**40)
        for block in stream.words(label, step, 200, offset).view("V16")
    ]
    assert len(set(blocks)) == len(blocks) == 4 * 4 * 2 * 100


def test_the_key_decides():
    first, second = (Keystream(fresh_key(Rng())).words("x", 0, 4).tolist() for _ in range(2))
    assert first != second


def test_keys_come_from_the_generator():
    assert len(fresh_key(Rng())) == KEY_BYTES
    assert fresh_key(FixedRng(5)) == FixedRng(5).bytes(KEY_BYTES)


def test_the_key_is_not_shown():
    stream = Keystream(KEY)
    stream.words("x", 0, 2)
    assert KEY.hex() not in repr(stream)
    assert repr(KEY)[2:-1] not in repr(stream)
    assert repr(stream) == "Keystream(key hidden)"


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy])
def test_the_key_does_not_travel(act):
    with pytest.raises(InvalidInput, match="not copied or pickled") as caught:
        act(Keystream(KEY))
    assert KEY.hex() not in str(caught.value)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "x" * 32, bytearray(32), None])
def test_other_keys_are_refused(key):
    with pytest.raises(InvalidInput, match="32 bytes"):
        Keystream(key)


@pytest.mark.parametrize(
    ("step", "offset", "n"), [(-1, 0, 2), (2**64, 0, 2), (True, 0, 2), (0, -2, 2), (0, 2**64 - 2, 3)]
)
def test_places_beyond_the_counter_are_refused(step, offset, n):
    with pytest.raises(InvalidInput, match="No bit was drawn"):
        Keystream(KEY).words("x", step, n, offset)
