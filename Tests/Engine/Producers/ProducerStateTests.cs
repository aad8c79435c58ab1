using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Producers;

public class ProducerStateTests
{
    private const long Id = 4711;
    private readonly ProducerStateManager _producers = new();
    private long _end;

    [Fact]
    public void Batch_without_producer_id_is_accepted_and_leaves_no_state()
    {
        Append(Batch(-1, -1, -1, 3));
        Append(Batch(-1, -1, -1, 3));
        Assert.Equal(0, _producers.Count);
        Assert.Equal(6, _producers.EndOffset);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(17)]
    [InlineData(int.MaxValue)]
    public void First_batch_of_an_unknown_producer_may_have_any_sequence(int sequence) =>
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(Id, 0, sequence, 1)).Outcome);

    [Fact]
    public void Next_sequence_is_accepted_and_a_gap_is_not()
    {
        Append(Batch(Id, 0, 0, 10));
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(Id, 0, 10, 1)).Outcome);
        var gap = Check(Batch(Id, 0, 11, 1));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, gap.Outcome);
        Assert.Equal(10, gap.ExpectedSequence);
        Assert.Equal(ErrorCode.OutOfOrderSequenceNumber, gap.ErrorCode);
    }

    [Fact]
    public void Last_five_batches_are_recognised_with_their_offsets()
    {
        var batches = Enumerable.Range(0, 7).Select(i => Append(Batch(Id, 0, i * 2, 2))).ToList();
        for (var i = 0; i < batches.Count; i++)
        {
            var decision = Check(Batch(Id, 0, i * 2, 2));
            if (i < 2)
            {
                // It is somewhere below the oldest batch that is known.
                Assert.Equal(new ProducerDecision(ProducerOutcome.DuplicateSequence, LastOffset: batches[2].BaseOffset - 1), decision);
                continue;
            }
            Assert.Equal(new ProducerDecision(ProducerOutcome.Duplicate, batches[i].BaseOffset, batches[i].LastOffset), decision);
        }
    }

    [Fact]
    public void Batch_with_other_boundaries_than_the_original_is_no_duplicate()
    {
        Append(Batch(Id, 0, 0, 4));
        Append(Batch(Id, 0, 4, 4));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(Id, 0, 4, 2)).Outcome);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(Id, 0, 2, 4)).Outcome);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(Id, 0, 6, 4)).Outcome);
    }

    [Fact]
    public void Older_sequence_is_out_of_order_unless_the_log_holds_the_epoch_from_its_start()
    {
        // Accepted in the middle of a sequence: an earlier batch may be in flight and is in no log.
        for (var sequence = 100; sequence < 110; sequence++)
            Append(Batch(Id, 0, sequence, 1));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(Id, 0, 99, 1)).Outcome);
    }

    [Fact]
    public void Sequences_wrap_after_the_largest_number()
    {
        Append(Batch(Id, 0, int.MaxValue - 2, 2));
        Append(Batch(Id, 0, int.MaxValue, 3)); // int.MaxValue, 0, 1
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(Id, 0, int.MaxValue, 3)).Outcome);
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(Id, 0, 2, 1)).Outcome);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(Id, 0, 3, 1)).Outcome);
    }

    [Fact]
    public void Older_epoch_is_fenced()
    {
        Append(Batch(Id, 3, 0, 1));
        var decision = Check(Batch(Id, 2, 1, 1));
        Assert.Equal(ProducerOutcome.FencedEpoch, decision.Outcome);
        Assert.Equal(3, decision.KnownEpoch);
        Assert.Equal(ErrorCode.InvalidProducerEpoch, decision.ErrorCode);
    }

    [Fact]
    public void New_epoch_starts_at_zero_and_forgets_the_old_batches()
    {
        Append(Batch(Id, 0, 0, 5));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(Id, 1, 5, 1)).Outcome);
        Append(Batch(Id, 1, 0, 5));
        Assert.True(_producers.TryGet(Id, out var state));
        Assert.Equal(1, state.Count);
        Assert.Equal(5, state[0].BaseOffset);
    }

    [Fact]
    public void Control_batch_raises_the_epoch_and_ends_the_transaction()
    {
        Append(Batch(Id, 0, 0, 5) with { Attributes = 0x10 });
        Assert.True(_producers.TryGet(Id, out var open));
        Assert.Equal(0, open.CurrentTransactionFirstOffset);
        var marker = Batch(Id, 1, -1, 1) with { Attributes = 0x30 };
        Append(marker, new TransactionMarker(IsCommit: true, CoordinatorEpoch: 3));
        Assert.True(_producers.TryGet(Id, out var ended));
        Assert.Equal((-1, 3), (ended.CurrentTransactionFirstOffset, ended.CoordinatorEpoch));
        Assert.Equal(ProducerOutcome.FencedEpoch, Check(Batch(Id, 0, 5, 1)).Outcome);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(Id, 1, 5, 1)).Outcome);
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(Id, 1, 0, 1)).Outcome);
    }

    [Fact]
    public void Batches_of_one_write_see_each_other()
    {
        _producers.BeginGroup();
        Append(Batch(Id, 0, 0, 1));
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(Id, 0, 0, 1)).Outcome);
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(Id, 0, 1, 1)).Outcome);
        _producers.CommitGroup();
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(Id, 0, 0, 1)).Outcome);
    }

    [Fact]
    public void Rolled_back_write_leaves_no_state()
    {
        for (var i = 0; i < 3; i++)
            Append(Batch(Id, 0, i, 1));
        Assert.True(_producers.TryGet(Id, out var before));
        _producers.BeginGroup();
        for (var i = 3; i < 12; i++)
            Append(Batch(Id, 0, i, 1));
        Append(Batch(Id, 1, 0, 1));
        Append(Batch(Id + 1, 0, 0, 1));
        _producers.RollbackGroup();

        Assert.True(_producers.TryGet(Id, out var after));
        Assert.Equal(0, after.Epoch);
        Assert.Equal(Batches(before), Batches(after));
        Assert.Equal(1, _producers.Count);
        Assert.Equal(3, _producers.EndOffset);
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(Id, 0, 3, 1)).Outcome);
    }

    [Fact]
    public void Producer_expires_by_the_broker_clock_unless_its_transaction_is_open()
    {
        Append(Batch(Id, 0, 0, 1) with { MaxTimestamp = 5 }, now: 1000);
        Append(Batch(Id + 1, 0, 0, 1) with { Attributes = 0x10 }, now: 1000);
        Append(Batch(Id + 2, 0, 0, 1), now: 1500);
        Assert.Equal(0, _producers.RemoveExpired(1999, TimeSpan.FromSeconds(1)));
        Assert.Equal(1, _producers.RemoveExpired(2000, TimeSpan.FromSeconds(1)));
        Assert.False(_producers.TryGet(Id, out _));
        Assert.True(_producers.TryGet(Id + 1, out _));
        Assert.True(_producers.TryGet(Id + 2, out _));
    }

    [Fact]
    public void Known_producer_causes_no_allocation()
    {
        var sequence = 0;
        Assert.Equal(0, Allocations.Of(() =>
        {
            for (var i = 0; i < 500; i++)
                AppendGroup(sequence++);
        }));

        void AppendGroup(int sequence)
        {
            _producers.BeginGroup();
            var batch = Batch(Id, 0, sequence, 1) with { BaseOffset = _end++ };
            if (_producers.Check(batch).Outcome == ProducerOutcome.Accept)
                _producers.Apply(batch, 0);
            _producers.CommitGroup();
        }
    }

    private ProducerDecision Check(RecordBatchHeader batch) => _producers.Check(batch);

    private RecordBatchHeader Append(RecordBatchHeader batch, TransactionMarker marker)
    {
        batch = batch with { BaseOffset = _end };
        Assert.Equal(ProducerOutcome.Accept, _producers.Check(batch, new VerifiedTransaction(1)).Outcome);
        _producers.Apply(batch, 0, marker);
        _end = batch.NextOffset;
        return batch;
    }

    private RecordBatchHeader Append(RecordBatchHeader batch, long now = 0)
    {
        batch = batch with { BaseOffset = _end };
        Assert.Equal(ProducerOutcome.Accept, _producers.Check(batch, new VerifiedTransaction(1)).Outcome);
        _producers.Apply(batch, now);
        _end = batch.NextOffset;
        return batch;
    }

    internal static IEnumerable<ProducerBatch> Batches(ProducerState state) =>
        Enumerable.Range(0, state.Count).Select(age => state[age]).ToList();

    internal static RecordBatchHeader Batch(long producerId, short epoch, int sequence, int count, long offset = 0) =>
        new(offset, 100, 0, 2, 0, 0, count - 1, 1000, 1000 + count, producerId, epoch, sequence, count);
}
