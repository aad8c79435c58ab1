using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Producers;

/// <summary>Producers of dead letters and of scheduled records: they may skip sequences, and are kept as long as their letters.</summary>
public sealed class LetterProducerTests
{
    private static readonly long s_id = LetterProducers.IdOf(Guid.NewGuid(), 3, Guid.NewGuid(), 7);
    private readonly ProducerStateManager _producers = new();
    private long _end;

    [Fact]
    public void Sequence_may_be_skipped_and_one_that_is_not_above_the_last_is_a_duplicate_of_the_newest_batch()
    {
        Append(Batch(7, 2));
        var newest = Append(Batch(20, 3));
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(23, 1)).Outcome);
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(500, 1)).Outcome);
        // The first is known with its offset.
        Assert.Equal(new ProducerDecision(ProducerOutcome.Duplicate, 0, 1), Check(Batch(7, 2)));
        foreach (var (first, count) in new[] { (22, 1), (20, 2), (7, 1), (0, 1), (10, 5), (8, 15) })
            Assert.Equal(new ProducerDecision(ProducerOutcome.Duplicate, newest.BaseOffset, newest.LastOffset), Check(Batch(first, count)));
    }

    [Fact]
    public void Batch_of_which_some_letters_are_in_the_log_is_refused()
    {
        Append(Batch(20, 3));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(22, 2)).Outcome);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(10, 14)).Outcome);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(20, 4)).Outcome);
    }

    [Fact]
    public void Sequences_wrap()
    {
        Append(Batch(int.MaxValue, 1));
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(int.MaxValue - 1, 1)).Outcome);
        Append(Batch(LetterProducers.SequenceOf(1L << 31), 2));
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(int.MaxValue, 1)).Outcome);
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(int.MaxValue - 1, 3)).Outcome);
        Assert.Equal(ProducerOutcome.Accept, Check(Batch(2, 1)).Outcome);
    }

    [Fact]
    public void Scheduled_records_may_skip_sequences_as_dead_letters_do()
    {
        var id = LetterProducers.IdOfSchedules(Guid.NewGuid(), 3, 7);
        Append(Batch(7, 2, id, LetterProducers.ScheduleEpoch));
        Append(Batch(20, 3, id, LetterProducers.ScheduleEpoch));
        Assert.Equal(ProducerOutcome.Duplicate, Check(Batch(8, 3, id, LetterProducers.ScheduleEpoch)).Outcome);
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(22, 2, id, LetterProducers.ScheduleEpoch)).Outcome);
    }

    [Fact]
    public void Other_producers_must_not_skip()
    {
        Append(Batch(0, 1, id: 4711));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(5, 1, id: 4711)).Outcome);
        Append(Batch(0, 1, epoch: 3));
        Assert.Equal(ProducerOutcome.OutOfOrderSequence, Check(Batch(5, 1, epoch: 3)).Outcome);
    }

    [Fact]
    public void Idle_producer_is_kept_while_the_log_holds_its_last_letter()
    {
        Append(Batch(0, 1));
        Append(Batch(1, 1));
        Append(Batch(0, 1, id: 4711, epoch: 0));
        var day = TimeSpan.FromDays(1);
        Assert.Equal(1, _producers.RemoveExpired(long.MaxValue, day, logStart: 1));
        Assert.True(_producers.TryGet(s_id, out _));
        Assert.Equal(1, _producers.RemoveExpired(long.MaxValue, day, logStart: 2));
        Assert.False(_producers.TryGet(s_id, out _));
    }

    [Fact]
    public void Id_differs_by_topic_partition_and_incarnation()
    {
        var (topic, incarnation) = (Guid.NewGuid(), Guid.NewGuid());
        long[] ids = [LetterProducers.IdOf(topic, 0, incarnation, 0), LetterProducers.IdOf(topic, 1, incarnation, 0),
            LetterProducers.IdOf(incarnation, 0, topic, 0), LetterProducers.IdOf(topic, 0, Guid.NewGuid(), 0),
            LetterProducers.IdOf(topic, 0, incarnation, 1)];
        Assert.Equal(ids[0], LetterProducers.IdOf(topic, 0, incarnation, 0));
        Assert.Equal(5, ids.Distinct().Count());
        foreach (var epoch in (short[])[LetterProducers.Epoch, LetterProducers.ScheduleEpoch])
            Assert.All(ids, id => Assert.True(LetterProducers.IsLetter(id, epoch)));
        Assert.False(LetterProducers.IsLetter(ids[0], LetterProducers.ScheduleEpoch - 1));
        // Ids that brokers count never come there.
        Assert.Equal(ProducerIdState.MadeUpFrom, LetterProducers.FirstId);
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

    private static RecordBatchHeader Batch(int sequence, int records, long? id = null, short epoch = LetterProducers.Epoch)
    {
        using var builder = new RecordBatchBuilder();
        for (var i = 0; i < records; i++)
            builder.Add(0, [], false, [], false);
        builder.SetProducer(id ?? s_id, epoch, sequence);
        return RecordBatchHeader.Read(builder.Build().Span);
    }
}
