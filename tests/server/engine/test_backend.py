from server.engine.backend import Batch


def test_columns_stay_equally_long():
    batch = Batch()
    batch.extend(1, 5, [10, 11, 12], outputs=2)
    batch.extend(0, 0, [20, 21], outputs=0)

    assert len(batch) == 5
    assert batch.tokens == [10, 11, 12, 20, 21]
    assert batch.positions == [5, 6, 7, 0, 1]
    assert batch.slots == [1, 1, 1, 0, 0]
    assert batch.outputs == [0, 1, 1, 0, 0]
