"""The address table against a dict."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.wire import address_words
from bridge.worker.demux import AddressTable

ADDRESSES = [address_words(host, port) for host in ("127.0.0.1", "10.0.0.9", "fd00::7") for port in (4000, 4002, 9)]
KEYS = AddressTable.keys(np.repeat(np.arange(3), len(ADDRESSES)), np.tile(np.stack(ADDRESSES), (3, 1)))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, len(KEYS) - 1), st.integers(0, 99)), max_size=120))
def test_it_answers_as_a_dict_does(steps):
    table, model = AddressTable(2, np.random.default_rng(1)), {}
    for put, key, row in steps:
        if put:
            table.put(KEYS[key], row)
            model[key] = row
        else:
            table.drop(KEYS[key], row)
            if model.get(key) == row:
                del model[key]
    assert table.find(KEYS).tolist() == [model.get(n, -1) for n in range(len(KEYS))]


def test_the_same_source_on_two_sockets_is_two_streams():
    table = AddressTable(8, np.random.default_rng(2))
    source = np.stack([address_words("127.0.0.1", 5000)] * 2)
    keys = AddressTable.keys(np.array([0, 1]), source)
    table.put(keys[0], 11)
    assert table.find(keys).tolist() == [11, -1]
    table.put(keys[1], 12)
    assert table.find(keys).tolist() == [11, 12]


def test_churn_leaves_no_graves_behind():
    table = AddressTable(4, np.random.default_rng(3))
    for n in range(5000):
        key = AddressTable.keys(np.array([0]), address_words("127.0.0.1", 1 + n)[None])[0]
        table.put(key, n)
        table.drop(key, n)
    assert table._size <= 64
