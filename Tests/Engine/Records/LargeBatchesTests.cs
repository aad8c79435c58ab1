using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Records;

public sealed class LargeBatchesTests
{
    private readonly ManualClock _clock = new();
    private readonly LargeBatches _turn;

    public LargeBatchesTests() => _turn = new LargeBatches(_clock);

    [Fact]
    public void Batch_that_is_tried_again_has_its_turn_before_others_that_come_at_the_right_moment()
    {
        // Another sender takes each turn as soon as it is free; this one comes while the turn is taken.
        for (var attempt = 0u; ; attempt++)
        {
            Assert.True(attempt < 20, "no turn in 20 attempts");
            var isTaken = TryEnter(100 + attempt);
            var hasTurn = TryEnter(7);
            Assert.NotEqual(isTaken, hasTurn);
            if (hasTurn)
                break;
            _turn.Exit();
            _clock.Advance(TimeSpan.FromMilliseconds(200));
        }
        Assert.False(TryEnter(100));
        _turn.Exit();
        Assert.True(TryEnter(100));
    }

    [Fact]
    public void Batches_that_are_tried_again_have_their_turns_in_order()
    {
        Assert.True(TryEnter(1));
        for (var attempt = 0; attempt < LargeBatches.Persistent; attempt++)
        {
            Assert.False(TryEnter(2));
            Assert.False(TryEnter(3));
            _clock.Advance(LargeBatches.Competes / 2);
        }
        _turn.Exit();
        Assert.False(TryEnter(3));
        Assert.True(TryEnter(2));
        _turn.Exit();
        Assert.True(TryEnter(3));
    }

    [Fact]
    public void Batch_that_does_not_come_again_keeps_no_other_waiting()
    {
        Assert.True(TryEnter(1));
        Assert.False(TryEnter(2));
        _turn.Exit();
        _clock.Advance(LargeBatches.Competes);
        // Refused once: its sender may have given it up.
        Assert.True(TryEnter(3));
        Assert.False(TryEnter(2));
        Assert.False(TryEnter(2));
        _turn.Exit();
        Assert.False(TryEnter(4));
        _clock.Advance(LargeBatches.Kept + TimeSpan.FromMilliseconds(1));
        Assert.True(TryEnter(4));
    }

    private bool TryEnter(uint batch)
    {
        try
        {
            _turn.Enter(batch);
            return true;
        }
        catch (RecordBatchException refused) when (refused.Error == RecordBatchError.Busy)
        {
            return false;
        }
    }
}
