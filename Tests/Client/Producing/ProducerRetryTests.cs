using System.Text;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Producing;

public class ProducerRetryTests : ProducerFixture
{
    [Theory]
    [InlineData(ErrorCode.NotEnoughReplicas, 80, 121)]
    [InlineData(ErrorCode.NotLeaderOrFollower, 8, 13)]
    public async Task A_refusal_that_may_pass_is_retried_after_the_backoff_and_soon_where_another_leads(ErrorCode refusal, int least,
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
    public async Task A_lost_answer_doubles_nothing_and_the_report_has_the_first_offset()
    {
        Broker.OnProduce = call => call.Number == 0 ? Reaction.LoseAnswer : Reaction.Normal;
        await using var producer = NewProducer();

        var report = await producer.SendAsync(Record("once")).SoonAsync();

        Assert.Equal(0, report.Offset);
        Assert.Equal(["once"], Broker.Values(Topic));
        Assert.Equal(2, Broker.Calls);
    }

    [Fact]
    public async Task When_the_first_of_several_in_flight_is_refused_the_order_stays()
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
    public async Task Past_the_deadline_an_unknown_outcome_is_reported_as_such_and_the_next_record_goes_on()
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
        // A new epoch: calls of the old one that are still on their way are fenced.
        Assert.Equal([0, 1], Broker.LogOf(new(Topic, 0)).Batches.Select(batch => (int)batch.ProducerEpoch));
    }

    [Fact]
    public async Task Past_the_deadline_a_record_that_was_only_ever_refused_is_surely_not_written()
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
    public async Task A_broker_that_never_answers_holds_up_nobody_beyond_the_deadline()
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
        // The late answer says that the batch is there after all, so that nothing has to start over.
        gate.SetResult();
        await producer.SendAsync(Record("next")).SoonAsync();
        Assert.Equal(["first", "next"], Broker.Values(Topic));
        Assert.Equal(0, Broker.LogOf(new(Topic, 0)).Batches[^1].ProducerEpoch);
    }

    [Fact]
    public async Task Out_of_step_the_producer_starts_over_under_the_next_epoch()
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
    public async Task A_producer_id_that_the_broker_refuses_is_replaced(ErrorCode code)
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
    public async Task A_broker_that_forgot_the_producer_takes_its_next_batch()
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record(1)).SoonAsync();
        Broker.LogOf(new(Topic, 0)).ForgetProducers();

        await producer.SendAsync(Record(2)).SoonAsync();

        Assert.Equal(["1", "2"], Broker.Values(Topic));
    }

    [Fact]
    public async Task A_refused_batch_leaves_no_gap()
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
    public async Task A_broker_that_throws_leaves_the_outcome_unknown()
    {
        Broker.OnProduce = _ => Reaction.Normal with { Throws = new NotSupportedException("a bug") };
        await using var producer = NewProducer();

        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(1)).SoonAsync());

        Assert.Equal((ErrorCode.UnknownServerError, true), (error.Code, error.MayBeWritten));
        Assert.Contains("a bug", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_idempotence_one_batch_is_in_flight_and_no_producer_id_is_asked_for()
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
    public async Task Without_idempotence_a_lost_answer_is_retried_too()
    {
        Broker.OnProduce = call => call.Number == 0 ? Reaction.LoseAnswer : Reaction.Normal;
        await using var producer = NewProducer(Quick with { Acks = Acks.Leader });

        await producer.SendAsync(Record("at least once")).SoonAsync();

        Assert.Equal(["at least once", "at least once"], Broker.Values(Topic));
    }

    [Fact]
    public async Task With_acks_0_nothing_is_retried()
    {
        Broker.OnProduce = _ => Reaction.Refuse(ErrorCode.NotLeaderOrFollower);
        await using var producer = NewProducer(Quick with { Acks = Acks.None });

        await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(1)).SoonAsync());

        Assert.Equal(1, Broker.Calls);
    }

    [Fact]
    public async Task Topic_and_producer_id_are_asked_for_again_while_the_broker_is_away()
    {
        var (topicTries, idTries) = (0, 0);
        Broker.OnGetTopic = _ => ++topicTries < 3 ? throw new BrokerException(ErrorCode.LeaderNotAvailable, "away") : Task.CompletedTask;
        Broker.OnInitProducerId = () => ++idTries < 3 ? throw new BrokerException(ErrorCode.RequestTimedOut, "away") : Task.CompletedTask;
        await using var producer = NewProducer();

        await producer.SendAsync(Record(1)).SoonAsync();

        Assert.Equal((3, 3), (topicTries, idTries));
    }

    [Fact]
    public async Task No_producer_id_fails_what_waits_for_it_and_only_that()
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
    public async Task A_topic_that_is_not_found_out_about_in_time_fails_its_records()
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
