using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Streams;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>What an activation answers while its observer has an event: to calls of cursors, and to a replay. Calls interleave, as in a
/// reentrant grain, or wait for their turn.</summary>
public sealed class StreamConsumerTests
{
    private static readonly Guid Subscription = Guid.NewGuid();
    private static readonly StreamId Stream = StreamId.Create("orders", "k");

    private readonly ScriptedBroker _broker;
    private readonly ServiceProvider _services;
    private readonly ClassPlace _place = new(Guid.NewGuid(), new TopicPartition("orders", 0), "streams:test:class", Guid.NewGuid());
    private readonly StreamConsumer _consumer;
    private readonly Observer _observer = new();
    private readonly SubscriptionTable _table = new();
    // What the topic of subscriptions has, and the silo has not read.
    private readonly Queue<(byte[] Key, byte[]? Value)> _unread = [];
    private int _asked;

    public StreamConsumerTests()
    {
        var broker = DispatchProxy.Create<IBroker, ScriptedBroker>();
        _broker = (ScriptedBroker)(object)broker;
        _broker.Description = new QueueDescription(_place.QueueName, _place.Queue, new QueueOptions());
        _services = new ServiceCollection().AddLogging().AddSingleton(new OrleansMqClient(broker))
            .AddKeyedSingleton<IStreamProvider>("test", static (services, _) =>
                new OrleansMqStreamProvider("test", new OrleansMqStreamOptions(), services)).BuildServiceProvider();
        _consumer = new StreamConsumer(new OneGrain(), _services);
    }

    [Fact]
    public async Task Event_that_a_replay_serves_is_none_that_a_call_of_the_cursor_has_reached()
    {
        var replay = Replay(45);
        await _consumer.ObserveAsync(replay, Delivery(45), 0, 1);
        var serving = Hang(50, () => _consumer.ObserveAsync(replay, Delivery(48, 50), 0, 2));
        Assert.Equal(50, replay.Observed);
        Assert.Null(await _consumer.FindObservedOfAsync(Subscription, _place.Queue, 0));
        Assert.Null(await _consumer.FindObservedAsync(Subscription));
        _observer.Release();
        Assert.Equal(new DeliveryAnswer(2, DeliveryOutcome.Served), await serving);
        Assert.Null(replay.Observed);
    }

    [Fact]
    public async Task Event_that_one_cursor_serves_is_none_that_a_call_of_another_one_has_reached()
    {
        _consumer.Attach(Subscription, _observer);
        var serving = Hang(50, () => _consumer.DeliverAsync(Delivery(48, 50)));
        Assert.Equal(50, await _consumer.FindObservedOfAsync(Subscription, _place.Queue, 0));
        // A queue that was reset, and the same offsets of another partition.
        Assert.Null(await _consumer.FindObservedOfAsync(Subscription, Guid.NewGuid(), 0));
        Assert.Null(await _consumer.FindObservedOfAsync(Subscription, _place.Queue, 1));
        _observer.Release();
        Assert.Equal(new DeliveryAnswer(2, DeliveryOutcome.Served), await serving);
        Assert.Null(await _consumer.FindObservedOfAsync(Subscription, _place.Queue, 0));
    }

    [Fact]
    public async Task Event_that_a_second_replay_has_served_is_not_dead_lettered_for_the_first_one()
    {
        var first = Replay(49);
        await _consumer.ObserveAsync(first, Delivery(49), 0, 1);
        await _consumer.GiveUpAsync(first, 50, new InvalidOperationException("thrown"));
        Assert.Equal((1, DeliveryOutcome.Unreadable), await CursorAsync(49, 50));
        // The observer gives the token of the event that failed.
        var second = Replay(50);
        Assert.Equal((1, DeliveryOutcome.Waits), await CursorAsync(49, 50));
        await _consumer.ObserveAsync(second, Delivery(50), 0, 1);
        Assert.Equal((2, DeliveryOutcome.Served), await CursorAsync(49, 50));
        // One that the second gives up too fails, and one that a later token leaves behind.
        await _consumer.GiveUpAsync(second, 51, new InvalidOperationException("thrown"));
        Replay(52);
        Assert.Equal((2, DeliveryOutcome.Unreadable), await CursorAsync(49, 50, 51));
    }

    [Fact]
    public async Task Token_behind_an_event_that_the_cursor_delivers_passes_over_the_rest_of_its_call()
    {
        _consumer.Attach(Subscription, _observer);
        var call = Hang(90, () => _consumer.DeliverAsync(Delivery(90, 91, 92, 93, 94, 95)));
        var observer = new Observer();
        var replay = Replay(96, observer);
        var ending = _consumer.EndAsync(replay, 96);
        _observer.Release();
        Assert.Equal(new DeliveryAnswer(6, DeliveryOutcome.Served), await call);
        Assert.True(await ending);
        Assert.True(replay.IsOver);
        Assert.Equal([90], _observer.Served);
        Assert.Equal((2, DeliveryOutcome.Served), await CursorAsync(95, 96));
        Assert.Equal([96], observer.Served);
    }

    [Fact]
    public async Task Event_of_one_subscription_waits_until_the_observer_of_another_one_has_handled_its_own()
    {
        var (other, second) = (Guid.NewGuid(), new Observer());
        _consumer.Attach(Subscription, _observer);
        _consumer.Attach(other, second);
        var first = Hang(50, () => _consumer.DeliverAsync(Delivery(50)));
        var waiting = _consumer.DeliverAsync(Delivery(7, 8) with { Subscription = other });
        Assert.False(waiting.IsCompleted);
        Assert.Empty(second.Served);
        Assert.Null(await _consumer.FindObservedOfAsync(other, _place.Queue, 0));
        _observer.Release();
        Assert.Equal(new DeliveryAnswer(1, DeliveryOutcome.Served), await first);
        Assert.Equal(new DeliveryAnswer(2, DeliveryOutcome.Served), await waiting);
        Assert.Equal([7, 8], second.Served);
    }

    [Fact]
    public async Task Call_from_before_a_token_is_refused_by_an_activation_that_began_beside_the_one_that_resumed()
    {
        Subscribe();
        // The call of the cursor waits for this activation meanwhile.
        var replay = Rewind(7);
        Assert.Equal((0, DeliveryOutcome.Unreachable), await CursorAsync(43, 44));
        Assert.Equal(new DeliveryAnswer(2, DeliveryOutcome.Served), await _consumer.DeliverAsync(Of(replay, 7, 8)));
        Assert.Equal((0, DeliveryOutcome.Unreachable), await CursorAsync(43, 44));
        Assert.Equal(new DeliveryAnswer(2, DeliveryOutcome.Served), await _consumer.DeliverAsync(Of(replay, 43, 44)));
        Assert.Equal([7, 8, 43, 44], _observer.Served);
        Assert.Equal(1, _asked);
    }

    [Fact]
    public async Task Call_from_before_a_token_ends_where_the_silo_reads_that_another_activation_has_resumed()
    {
        Subscribe();
        Assert.Equal((1, DeliveryOutcome.Served), await CursorAsync(42));
        var call = Hang(43, () => _consumer.DeliverAsync(Delivery(43, 44)));
        var replay = Rewind(7);
        Read();
        _observer.Release();
        var answer = await call;
        Assert.Equal((1, DeliveryOutcome.Unreachable), (answer.Count, answer.Outcome));
        Assert.Equal(new DeliveryAnswer(1, DeliveryOutcome.Served), await _consumer.DeliverAsync(Of(replay, 7)));
        Assert.Equal([42, 43, 7], _observer.Served);
        Assert.Equal(1, _asked);
    }

    [Fact]
    public async Task Call_goes_on_where_the_silo_reads_that_the_subscription_is_split()
    {
        Subscribe();
        var call = Hang(43, () => _consumer.DeliverAsync(Delivery(43, 44)));
        var split = _table.Find(Stream, Subscription)!.Split(_place.TopicId, 43, failures: 0);
        Begin(split);
        Read();
        _observer.Release();
        Assert.Equal(new DeliveryAnswer(2, DeliveryOutcome.Served), await call);
        Assert.Equal(new DeliveryAnswer(3, DeliveryOutcome.Served), await _consumer.DeliverAsync(Of(split, 43, 44, 45)));
        Assert.Equal([43, 44, 45], _observer.Served);
    }

    [Fact]
    public async Task Event_waits_while_the_table_cannot_be_asked_and_none_comes_to_a_subscription_that_is_removed()
    {
        Subscribe(static () => throw new BrokerException(ErrorCode.LeaderNotAvailable, "away"));
        Assert.Equal((0, DeliveryOutcome.Unreachable), await CursorAsync(43));
        Subscribe(static () => Task.FromException(new TimeoutException("no answer")));
        Assert.Equal((0, DeliveryOutcome.Unreachable), await CursorAsync(43));
        Subscribe();
        _unread.Enqueue((KeyOf(Subscription), null));
        Assert.Equal((0, DeliveryOutcome.Removed), await CursorAsync(43));
        Assert.Empty(_observer.Served);
    }

    [Fact]
    public async Task Activation_that_gives_up_its_token_learns_of_one_that_came_into_force_meanwhile()
    {
        Subscribe();
        Assert.Equal((1, DeliveryOutcome.Served), await CursorAsync(42));
        var giveUp = _consumer.Keep(Subscription, _observer);
        var replay = Rewind(7);
        // As of a call that comes later than that of the other activation, and is never written.
        _consumer.Attach(Subscription, _observer, _table.Find(Stream, Subscription)!.Rewind(_place.TopicId, 20) with { Generation = 2 });
        Read();
        Assert.Equal((0, DeliveryOutcome.Unreachable), await CursorAsync(43));
        giveUp();
        Assert.Equal((0, DeliveryOutcome.Unreachable), await CursorAsync(43));
        Assert.Equal(new DeliveryAnswer(1, DeliveryOutcome.Served), await _consumer.DeliverAsync(Of(replay, 7)));
        Assert.Equal([42, 7], _observer.Served);
    }

    [Fact]
    public async Task Activation_does_not_remember_subscriptions_that_are_gone()
    {
        var table = new SubscriptionTable();
        Attach(Subscription, _observer);
        for (var number = 0; number < 100; number++)
        {
            // The first one removes itself, the second one is removed by another grain.
            var (leaver, removed) = (Guid.NewGuid(), Guid.NewGuid());
            Attach(leaver, new Observer());
            Attach(removed, new Observer());
            using (var resuming = await _consumer.TryResumeAsync(leaver, TimeSpan.Zero))
            {
                Assert.NotNull(resuming);
                Assert.Null(await _consumer.TryResumeAsync(leaver, TimeSpan.Zero));
                Assert.Equal(1, _consumer.Remembered.Resuming);
            }
            table.Apply(KeyOf(leaver), null);
            table.Apply(KeyOf(removed), null);
            _consumer.Remove(leaver, new SubscriptionPlace(table, Stream, leaver));
            _consumer.Trim();
        }
        Assert.InRange(_consumer.Remembered.Attached + _consumer.Remembered.Removed, 1, 20);
        Assert.Equal(0, _consumer.Remembered.Resuming);
        Assert.Equal((2, DeliveryOutcome.Served), await CursorAsync(1, 2));

        void Attach(Guid id, Observer observer)
        {
            table.Apply(KeyOf(id), new SubscriptionValue("reader/1", 0, _place.Queue, 0).ToBytes());
            _consumer.Attach(id, observer);
            _consumer.Know(id, new SubscriptionPlace(table, Stream, id));
        }
    }

    [Fact]
    public void Event_that_was_begun_before_a_later_one_was_passed_over_takes_nothing_back()
    {
        var served = new ServedEvents();
        served.Serve(default, _place.Queue, 0, 95);
        served.Serve(default, _place.Queue, 0, 90);
        Assert.Equal(95, served.Last(_place.Queue, 0));
    }

    [Fact]
    public async Task Replay_whose_observer_does_not_answer_counts_its_event_as_failed_and_tells_that_it_is_given_up_once()
    {
        var replay = Replay(4);
        var (isBusy, calls) = (false, new List<Task>());
        // A call that does not end at once is not waited for; in a grain that is busy it does not begin.
        Begin(replay, id =>
        {
            var call = isBusy ? null : _consumer.ReplayAsync(Subscription, id);
            calls.Add(call ?? Task.CompletedTask);
            return call is { IsCompleted: true } ? call : Task.FromException<bool>(new TimeoutException("no answer"));
        });
        var delivery = Delivery(4, 5, 6);
        // Nothing is observed: the call waited for another one of the grain.
        isBusy = true;
        await Assert.ThrowsAsync<TimeoutException>(() => replay.ObserveAsync(delivery, 0, 3, _services));
        isBusy = false;
        _observer.HangsIn = 5;
        var answer = await replay.ObserveAsync(delivery, 0, 3, _services);
        Assert.Equal((1, DeliveryOutcome.Failed), (answer.Count, answer.Outcome));
        Assert.Contains("no answer", answer.Cause, StringComparison.Ordinal);
        isBusy = true;
        answer = await replay.ObserveAsync(delivery, 1, 3, _services);
        Assert.Equal((0, DeliveryOutcome.Failed), (answer.Count, answer.Outcome));
        // It is given up, and the activation does not hear of it.
        await Assert.ThrowsAsync<TimeoutException>(() => replay.GivenUpAsync(5, new InvalidOperationException("given up")));
        await Assert.ThrowsAsync<TimeoutException>(() => replay.ObserveAsync(delivery, 1, 3, _services));
        Assert.Empty(_observer.GivenUp);
        (isBusy, _observer.HangsIn) = (false, null);
        _observer.Fail();
        await Task.WhenAll(calls);
        answer = await replay.ObserveAsync(delivery, 1, 3, _services);
        Assert.Equal((2, DeliveryOutcome.Served), (answer.Count, answer.Outcome));
        Assert.Equal([5], _observer.GivenUp);
        Assert.Equal([4, 6], _observer.Served);
        Assert.Equal((1, DeliveryOutcome.Unreadable), await CursorAsync(4, 5, 6));
        replay.Leave();
    }

    [Fact]
    public async Task Event_that_is_served_after_its_replay_has_given_it_up_is_neither_told_of_nor_dead_lettered()
    {
        var replay = Replay(5);
        var (isBusy, calls) = (false, new List<Task>());
        Begin(replay, id =>
        {
            var call = isBusy ? null : _consumer.ReplayAsync(Subscription, id);
            calls.Add(call ?? Task.CompletedTask);
            return call is { IsCompleted: true } ? call : Task.FromException<bool>(new TimeoutException("no answer"));
        });
        _observer.HangsIn = 5;
        Assert.Equal(DeliveryOutcome.Failed, (await replay.ObserveAsync(Delivery(5), 0, 1, _services)).Outcome);
        isBusy = true;
        await Assert.ThrowsAsync<TimeoutException>(() => replay.GivenUpAsync(5, new InvalidOperationException("given up")));
        (isBusy, _observer.HangsIn) = (false, null);
        _observer.Release();
        await Task.WhenAll(calls);
        Assert.Equal(2, (await replay.ObserveAsync(Delivery(5, 6), 0, 2, _services)).Count);
        Assert.Empty(_observer.GivenUp);
        Assert.Equal([5, 6], _observer.Served);
        Assert.Equal((2, DeliveryOutcome.Served), await CursorAsync(5, 6));
        replay.Leave();
    }

    [Fact]
    public async Task Replay_whose_end_was_carried_out_and_not_answered_is_over()
    {
        var replay = Replay(7);
        Begin(replay, async id =>
        {
            Assert.True(await _consumer.ReplayAsync(Subscription, id));
            throw new TimeoutException("no answer");
        });
        _broker.End = 7;
        await Assert.ThrowsAsync<TimeoutException>(() => replay.EndsAsync(7, _place.TopicId, CancellationToken.None));
        Assert.True(await replay.EndsAsync(7, _place.TopicId, CancellationToken.None));
        replay.Leave();
    }

    [Fact]
    public async Task Replay_begins_to_read_when_the_one_before_it_has_ended()
    {
        var (readings, first, second) = (new ReplayReadings(), Reading(), Reading());
        var hasLeft = false;
        var (isAsked, answer) = (new TaskCompletionSource(), new TaskCompletionSource<TopicDescription>());
        _broker.DescribeTopic = () =>
        {
            isAsked.TrySetResult();
            return answer.Task;
        };
        readings.Begin(Subscription, first, _observer, new StreamBegin(_place.TopicId, 0), () => hasLeft = true);
        await isAsked.Task.WaitAsync(Wait.Deadline);
        var hasFirstEnded = new TaskCompletionSource<bool>();
        _broker.DescribeTopic = () =>
        {
            hasFirstEnded.TrySetResult(first.Running.IsCompleted);
            return answer.Task;
        };
        readings.Begin(Subscription, second, _observer, new StreamBegin(_place.TopicId, 0), second.End);
        Assert.True(hasLeft);
        first.End();
        answer.SetException(new BrokerException(ErrorCode.LeaderNotAvailable, "away"));
        Assert.True(await hasFirstEnded.Task.WaitAsync(Wait.Deadline));
        second.End();
        await second.Running.WaitAsync(Wait.Deadline);
    }

    // The activation attaches its observer, as it does in its OnActivateAsync.
    private void Subscribe(Func<Task>? catchUp = null)
    {
        _table.Apply(KeyOf(Subscription), new SubscriptionValue("reader/1", 0, _place.Queue, 0).ToBytes());
        _consumer.Attach(Subscription, _observer);
        _consumer.Know(Subscription, new SubscriptionPlace(_table, Stream, Subscription, catchUp: catchUp ?? (() =>
        {
            _asked++;
            Read();
            return Task.CompletedTask;
        })));
    }

    private void Read()
    {
        while (_unread.TryDequeue(out var record))
            _table.Apply(record.Key, record.Value is { } value ? value : default(ReadOnlyMemory<byte>?));
    }

    // Another activation resumes the subscription from a token.
    private Replay Rewind(long from)
    {
        var replay = _table.Find(Stream, Subscription)!.Rewind(_place.TopicId, from);
        Begin(replay);
        return replay;
    }

    private void Begin(Replay replay) => _unread.Enqueue((new NextReplayKey(replay.Id, OrleansMqStreamProvider.KeyOf(Stream, Subscription))
        .ToBytes(), new NextReplayValue(_place.Queue, replay).ToBytes()));

    private StreamDelivery Of(Replay replay, params long[] offsets) => Delivery(offsets) with
    {
        Replay = replay.Number,
        ReplayId = replay.Id,
        Continues = replay.Continues,
        Generation = replay.Generation,
    };

    private static byte[] KeyOf(Guid id) => OrleansMqStreamProvider.KeyOf(Stream, id).ToBytes();

    private ActivationReplay Replay(long from, Observer? observer = null)
    {
        var replay = new ActivationReplay(Subscription, _place, from, _consumer, _services.GetRequiredService<OrleansMqClient>());
        _consumer.Replay(observer ?? _observer, replay);
        return replay;
    }

    // The test reads in place of a reading, which finds no topic.
    private void Begin(ActivationReplay replay, Func<Guid, Task<bool>> turns) =>
        replay.Begin(Reading(), new ReplayReadings(), turns, new TaskCompletionSource().Task, CancellationToken.None);

    private StreamReading Reading() => new((OrleansMqStreamProvider)_services.GetRequiredKeyedService<IStreamProvider>("test"),
        _services.GetRequiredService<OrleansMqClient>(), _services, Stream, _place.Partition, NullLogger.Instance);

    private Task<DeliveryAnswer> Hang(long offset, Func<Task<DeliveryAnswer>> call)
    {
        _observer.HangsIn = offset;
        var serving = call();
        Assert.False(serving.IsCompleted);
        _observer.HangsIn = null;
        return serving;
    }

    private async Task<(int Count, DeliveryOutcome Outcome)> CursorAsync(params long[] offsets)
    {
        var answer = await _consumer.DeliverAsync(Delivery(offsets));
        return (answer.Count, answer.Outcome);
    }

    private StreamDelivery Delivery(params long[] offsets) => new("test", Stream, Subscription, _place.Queue, 0,
        [.. offsets.Select(static offset => new StreamItem(offset, null))]);

    /// <summary>An activation of one grain.</summary>
    internal sealed class OneGrain : IGrainContextAccessor
    {
        public IGrainContext GrainContext { get; } = DispatchProxy.Create<IGrainContext, NamedGrain>();
    }

    /// <summary>A grain that has a name alone.</summary>
    private class NamedGrain : DispatchProxy
    {
        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod?.Name switch
        {
            $"get_{nameof(IGrainContext.GrainId)}" => GrainId.Create("reader", "1"),
            var name => throw new NotSupportedException(name),
        };
    }

    private sealed class Observer : IStreamObserver
    {
        private readonly TaskCompletionSource<DeliveryAnswer> _hanging = new();

        public bool TakesBatches => false;
        public long? HangsIn { get; set; }
        public List<long> Served { get; } = [];
        public List<long> GivenUp { get; } = [];

        public void Release() => _hanging.SetResult(new DeliveryAnswer(1, DeliveryOutcome.Served));

        public void Fail() => _hanging.SetResult(new DeliveryAnswer(0, DeliveryOutcome.Failed, "thrown"));

        public async Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, int first, int end, IServiceProvider services)
        {
            var offset = delivery.Items[first].Offset;
            var answer = offset == HangsIn ? await _hanging.Task : new DeliveryAnswer(1, DeliveryOutcome.Served);
            if (answer.Outcome == DeliveryOutcome.Served)
                Served.Add(offset);
            return answer;
        }

        public Task<Exception?> GivenUpAsync(long offset, Exception cause)
        {
            GivenUp.Add(offset);
            return Task.FromResult<Exception?>(null);
        }
    }

    /// <summary>A broker with a queue and the end of a partition.</summary>
    private class ScriptedBroker : DispatchProxy
    {
        public QueueDescription Description { get; set; } = null!;
        public long End { get; set; }
        public Func<Task<TopicDescription>>? DescribeTopic { get; set; }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod?.Name switch
        {
            $"get_{nameof(IBroker.Queues)}" => Queues(),
            nameof(IBroker.FindOffsetAsync) => new ValueTask<OffsetResult>(new OffsetResult(ErrorCode.None, End)),
            nameof(IBroker.DescribeTopicAsync) when DescribeTopic is { } describe => new ValueTask<TopicDescription>(describe()),
            nameof(IQueues.DescribeAsync) => new ValueTask<QueueDescription>(Description),
            var name => throw new NotSupportedException(name),
        };

        private IQueues Queues()
        {
            var queues = DispatchProxy.Create<IQueues, ScriptedBroker>();
            ((ScriptedBroker)(object)queues).Description = Description;
            return queues;
        }
    }
}
