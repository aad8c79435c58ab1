using System.Text;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Producing;

public class ProducerRetryTests : ProducerFixture
{
    [Theory]
    [InlineData(ErrorCode.NotEnoughReplicas, 80, 121)]
    [InlineData(ErrorCode.NotLeaderOrFollower, 8, 13)]
    public async Task Retriable_refusal_is_retried_after_the_backoff_or_at_once_after_a_leader_change(ErrorCode refusal, int least,
        int most)
    {
        Broker.OnProduce = call => call.Number == 0 ? Reaction.Refuse(refusal) : Reaction.Normal;
        await using var producer = NewProducer(Still);

        var report = producer.SendAsync(Record(1)).AsTask();
        await Wait.UntilAsync(() => Clock.ArmedTimers.Count == 2, "the retry timer");
        Assert.InRange(Clock.ArmedTimers[0], TimeSpan.FromMilliseconds(least), TimeSpan.FromMilliseconds(most));
        Assert.Equal(1, Broker.Calls);
        Clock.Advance(TimeSpan.FromMilliseconds(most));

        Assert.Equal(0, (await report.SoonAsync()).Offset);
        Assert.Equal(1, producer.Statistics.Retries);
    }

    [Fact]
    public async Task Lost_response_duplicates_nothing_and_reports_the_first_offset()
    {
        Broker.OnProduce = call => call.Number == 0 ? Reaction.LoseAnswer : Reaction.Normal;
        await using var producer = NewProducer();

        var report = await producer.SendAsync(Record("once")).SoonAsync();

        Assert.Equal(0, report.Offset);
        Assert.Equal(["once"], Broker.Values(Topic));
        Assert.Equal(2, Broker.Calls);
    }

    [Fact]
    public async Task First_of_several_batches_in_flight_refused_keeps_the_order()
    {
        await using var producer = NewProducer(Quick with { BatchSize = 1024 });
        await producer.SendAsync(Record("to know the topic")).SoonAsync();
        var refused = 0;
        Broker.OnProduce = _ => Interlocked.Exchange(ref refused, 1) == 0 ? Reaction.Refuse(ErrorCode.NotEnoughReplicas) : Reaction.Normal;

        var texts = Enumerable.Range(0, 40).Select(i => $"{i:000}{new string('x', 500)}").ToArray();
        foreach (var text in texts)
            producer.Send(Record(text));
        await producer.FlushAsync().SoonAsync();

        Assert.Equal(texts, Broker.Values(Topic).Skip(1));
    }

    [Fact]
    public async Task Unknown_outcome_at_the_deadline_is_reported_and_the_next_record_continues()
    {
        Broker.OnProduce = _ => Reaction.LoseAnswer with { Answer = ErrorCode.NotEnoughReplicasAfterAppend };
        await using var producer = NewProducer(Still);
        var first = producer.SendAsync(Record("first", key: "k")).AsTask();
        await Wait.UntilAsync(() => Clock.ArmedTimers.Count == 2, "the retry timer");
        Clock.Advance(Still.DeliveryTimeout);

        var error = await Assert.ThrowsAsync<ProduceException>(() => first.SoonAsync());
        Broker.OnProduce = _ => Reaction.Normal;
        var second = producer.SendAsync(Record("second")).AsTask();

        Assert.Equal((ErrorCode.NotEnoughReplicasAfterAppend, ErrorAction.Retry, true), (error.Code, error.Action, error.MayBeWritten));
        Assert.Equal(new TopicPartition(Topic, 0), error.TopicPartition);
        Assert.Equal("k", Encoding.UTF8.GetString(error.Key!.Value.Span));
        Assert.Equal(1, (await second.SoonAsync()).Offset);
        Assert.Equal(["first", "second"], Broker.Values(Topic));
        // The new epoch fences calls of the old one that are still in flight.
        Assert.Equal([0, 1], Broker.LogOf(new(Topic, 0)).Batches.Select(batch => (int)batch.ProducerEpoch));
    }

    [Fact]
    public async Task Record_only_refused_until_the_deadline_is_reported_not_written()
    {
        Broker.OnProduce = _ => Reaction.Refuse(ErrorCode.LeaderNotAvailable);
        await using var producer = NewProducer(Still);
        var report = producer.SendAsync(Record(1)).AsTask();
        await Wait.UntilAsync(() => Clock.ArmedTimers.Count == 2, "the retry timer");
        Clock.Advance(Still.DeliveryTimeout);

        var error = await Assert.ThrowsAsync<ProduceException>(() => report.SoonAsync());

        Assert.Equal((ErrorCode.LeaderNotAvailable, ErrorAction.Retry, false), (error.Code, error.Action, error.MayBeWritten));
        Broker.OnProduce = _ => Reaction.Normal;
        await producer.SendAsync(Record(2)).SoonAsync();
        Assert.Equal(["2"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Unresponsive_broker_blocks_no_record_beyond_the_deadline()
    {
        var gate = NewGate();
        Broker.OnProduce = call => call.Number == 0 ? Reaction.Normal with { After = gate.Task } : Reaction.Normal;
        await using var producer = NewProducer(Still);
        var first = producer.SendAsync(Record("first")).AsTask();
        await Wait.UntilAsync(() => Broker.Calls == 1, "the call");
        var behind = producer.SendAsync(Record("behind")).AsTask();
        Clock.Advance(Still.DeliveryTimeout);

        Assert.True((await Assert.ThrowsAsync<ProduceException>(() => first.SoonAsync())).MayBeWritten);
        Assert.False((await Assert.ThrowsAsync<ProduceException>(() => behind.SoonAsync())).MayBeWritten);
        // The late response reports the batch as stored, so the producer does not start over.
        gate.SetResult();
        await producer.SendAsync(Record("next")).SoonAsync();
        Assert.Equal(["first", "next"], Broker.Values(Topic));
        Assert.Equal(0, Broker.LogOf(new(Topic, 0)).Batches[^1].ProducerEpoch);
    }

    [Fact]
    public async Task Producer_out_of_sequence_continues_under_the_next_epoch()
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record(1)).SoonAsync();
        var refused = 0;
        Broker.OnProduce = _ => Interlocked.Exchange(ref refused, 1) == 0 ? Reaction.Refuse(ErrorCode.OutOfOrderSequenceNumber)
            : Reaction.Normal;

        Assert.Equal(1, (await producer.SendAsync(Record(2)).SoonAsync()).Offset);

        var batch = Broker.LogOf(new(Topic, 0)).Batches[^1];
        Assert.Equal((1, 0), (batch.ProducerEpoch, batch.BaseSequence));
    }

    [Theory]
    [InlineData(ErrorCode.InvalidProducerEpoch)]
    [InlineData(ErrorCode.UnknownProducerId)]
    public async Task Refused_producer_id_is_replaced(ErrorCode code)
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record(1)).SoonAsync();
        var refused = 0;
        Broker.OnProduce = _ => Interlocked.Exchange(ref refused, 1) == 0 ? Reaction.Refuse(code) : Reaction.Normal;

        await producer.SendAsync(Record(2)).SoonAsync();

        Assert.Equal(2, Broker.ProducerIdsGiven);
        Assert.Equal(["1", "2"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Broker_that_lost_the_producer_state_accepts_the_next_batch()
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record(1)).SoonAsync();
        Broker.LogOf(new(Topic, 0)).ForgetProducers();

        await producer.SendAsync(Record(2)).SoonAsync();

        Assert.Equal(["1", "2"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Refused_batch_leaves_no_sequence_gap()
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record(1)).SoonAsync();
        Broker.OnProduce = _ => Reaction.Refuse(ErrorCode.InvalidRecord);
        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(2)).SoonAsync());
        Broker.OnProduce = _ => Reaction.Normal;

        await producer.SendAsync(Record(3)).SoonAsync();

        Assert.Equal((ErrorCode.InvalidRecord, ErrorAction.Abort, false), (error.Code, error.Action, error.MayBeWritten));
        Assert.Equal(["1", "3"], Broker.Values(Topic));
        Assert.Equal((0, 1),
            ((int, int))(Broker.LogOf(new(Topic, 0)).Batches[^1].ProducerEpoch, Broker.LogOf(new(Topic, 0)).Batches[^1].BaseSequence));
    }

    [Fact]
    public async Task Exception_of_the_broker_leaves_the_outcome_unknown()
    {
        Broker.OnProduce = _ => Reaction.Normal with { Throws = new NotSupportedException("a bug") };
        await using var producer = NewProducer();

        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(1)).SoonAsync());

        Assert.Equal((ErrorCode.UnknownServerError, true), (error.Code, error.MayBeWritten));
        Assert.Contains("a bug", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Producer_without_idempotence_has_one_batch_in_flight_and_no_producer_id()
    {
        await using var producer = NewProducer(Quick with { Acks = Acks.Leader, BatchSize = 1024 });

        for (var i = 0; i < 2000; i++)
            producer.Send(Record(i));
        await producer.FlushAsync().SoonAsync();

        Assert.Equal(Numbers(0, 2000), Broker.Values(Topic));
        Assert.Equal(1, Broker.LogOf(new(Topic, 0)).MaxInFlight);
        Assert.Equal(0, Broker.ProducerIdsGiven);
        Assert.All(Broker.LogOf(new(Topic, 0)).Batches, batch => Assert.False(batch.HasProducer));
    }

    [Fact]
    public async Task Lost_response_without_idempotence_is_retried()
    {
        Broker.OnProduce = call => call.Number == 0 ? Reaction.LoseAnswer : Reaction.Normal;
        await using var producer = NewProducer(Quick with { Acks = Acks.Leader });

        await producer.SendAsync(Record("at least once")).SoonAsync();

        Assert.Equal(["at least once", "at least once"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Batch_with_acks_0_is_not_retried()
    {
        Broker.OnProduce = _ => Reaction.Refuse(ErrorCode.NotLeaderOrFollower);
        await using var producer = NewProducer(Quick with { Acks = Acks.None });

        await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(1)).SoonAsync());

        Assert.Equal(1, Broker.Calls);
    }

    [Fact]
    public async Task Metadata_and_producer_id_are_requested_again_while_the_broker_is_down()
    {
        var (topicTries, idTries) = (0, 0);
        Broker.OnGetTopic = _ => ++topicTries < 3 ? throw new BrokerException(ErrorCode.LeaderNotAvailable, "away") : Task.CompletedTask;
        Broker.OnInitProducerId = () => ++idTries < 3 ? throw new BrokerException(ErrorCode.RequestTimedOut, "away") : Task.CompletedTask;
        await using var producer = NewProducer();

        await producer.SendAsync(Record(1)).SoonAsync();

        Assert.Equal((3, 3), (topicTries, idTries));
    }

    [Fact]
    public async Task Missing_producer_id_fails_only_the_records_that_wait_for_it()
    {
        Broker.OnInitProducerId = () => throw new BrokerException(ErrorCode.PolicyViolation, "not you");
        await using var producer = NewProducer();

        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(1)).SoonAsync());
        Broker.OnInitProducerId = null;

        Assert.Equal((ErrorCode.PolicyViolation, false), (error.Code, error.MayBeWritten));
        await producer.SendAsync(Record(2)).SoonAsync();
        Assert.Equal(["2"], Broker.Values(Topic));
    }

    [Fact]
    public async Task Topic_metadata_timeout_fails_its_records()
    {
        Broker.OnGetTopic = _ => new TaskCompletionSource().Task;
        await using var producer = NewProducer(Still);
        var report = producer.SendAsync(Record(1)).AsTask();
        await Wait.UntilAsync(() => Clock.ArmedTimers.Count == 1, "the deadline");
        Clock.Advance(Still.DeliveryTimeout);

        var error = await Assert.ThrowsAsync<ProduceException>(() => report.SoonAsync());

        Assert.Equal((ErrorAction.Retry, false), (error.Action, error.MayBeWritten));
    }
}
