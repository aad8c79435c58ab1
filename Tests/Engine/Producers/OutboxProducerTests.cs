using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Producers;

/// <summary>Producers of outboxes: they may skip sequences, and are forgotten like others.</summary>
public sealed class OutboxProducerTests
{
    private static readonly long s_id = OutboxProducers.IdOf(Random.Shared.NextInt64());
    private readonly ProducerStateManager _producers = new();
    private long _end;

    [Fact]
    public void Sequence_may_be_skipped_and_one_that_is_not_above_the_last_is_a_duplicate()
    {
        Append(Batch(7, 2));
        Append(Batch(20, 3));
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(23, 1)).Outcome);
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(500, 2)).Outcome);
        foreach (var (first, count) in new[] { (22, 1), (20, 3), (7, 2), (8, 1), (0, 1), (9, 14) })
            Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(first, count)).Outcome);
    }

    [Fact]
    public void Repetition_far_behind_the_remembered_batches_is_a_duplicate()
    {
        for (var sequence = 100; sequence < 120; sequence++)
            Append(Batch(sequence, 1));
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(100, 1)).Outcome);
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(100, 20)).Outcome);
    }

    [Fact]
    public void Batch_of_which_some_messages_are_in_the_log_is_refused()
    {
        Append(Batch(20, 3));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(22, 2)).Outcome);
    }

    [Fact]
    public void Other_producers_must_not_skip()
    {
        foreach (var (id, epoch) in new[] { (OutboxProducers.FirstId - 1, OutboxProducers.Epoch), (s_id, (short)0) })
        {
            Append(Batch(0, 1, id, epoch));
            Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(5, 1, id, epoch)).Outcome);
        }
    }

    [Fact]
    public void Idle_producer_is_forgotten()
    {
        Append(Batch(0, 1));
        Assert.Equal(1, _producers.RemoveExpired(long.MaxValue, TimeSpan.FromDays(1), logStart: 0));
        Assert.False(_producers.TryGet(s_id, out _));
    }

    [Fact]
    public void Id_is_neither_counted_by_brokers_nor_of_a_dead_letter_whatever_the_random_bits_are()
    {
        foreach (var random in (long[])[0, -1, long.MinValue, long.MaxValue, Random.Shared.NextInt64()])
        {
            var id = OutboxProducers.IdOf(random);
            Assert.True(OutboxProducers.IsOutbox(id, OutboxProducers.Epoch));
            Assert.True(id >= ProducerIdState.MadeUpFrom);
            Assert.False(LetterProducers.IsLetter(id, OutboxProducers.Epoch));
        }
    }

    private ProducerDecision Check(RecordBatchHeader batch) => _producers.Check(batch);

    private RecordBatchHeader Append(RecordBatchHeader batch)
    {
        Assert.Equal(ProducerOutcome.Accept, Check(batch).Outcome);
        batch = batch with { BaseOffset = _end };
        _producers.Apply(batch, appendTime: 0);
        _end = batch.NextOffset;
        return batch;
    }

    private static RecordBatchHeader Batch(int sequence, int records, long? id = null, short epoch = OutboxProducers.Epoch)
    {
        using var builder = new RecordBatchBuilder();
        for (var i = 0; i < records; i++)
            builder.Add(0, [], false, [], false);
        builder.SetProducer(id ?? s_id, epoch, sequence);
        return RecordBatchHeader.Read(builder.Build().Span);
    }
}
