"""The order of training rows: prompts together, full batches, each epoch another order."""

from palate.train.trainers.trainer import GroupSampler


def test_the_last_batch_of_an_epoch_is_full():
    keys = ["a", "a", "b", "b", "b", "c", "c"]
    for batch, rows in ((1, 7), (2, 8), (7, 7), (10, 10), (16, 16)):
        order = list(GroupSampler(keys, seed=1, batch=batch))
        assert len(order) == len(GroupSampler(keys, seed=1, batch=batch)) == rows
        assert sorted(order[:7]) == list(range(7))
        assert all(order[i] == order[i - 7] for i in range(7, rows))


def test_prompts_stay_together_in_a_new_order_each_epoch():
    keys = ["a", "b", "a", "c", "b", "a"]
    sampler = GroupSampler(keys, seed=1)
    orders = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(order) == list(range(6))
        named = [keys[i] for i in order]
        assert len([k for i, k in enumerate(named) if i == 0 or named[i - 1] != k]) == 3
        orders.append(order)
    assert len({tuple(order) for order in orders}) > 1
    sampler.set_epoch(0)
    assert list(sampler) == orders[0]
