using System.Globalization;
using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Client.Queueing;

/// <summary>A queue's consumer over a broker in the process, with its clock.</summary>
public sealed class QueueConsumerTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly QueueConsumerOptions Options = new() { Topic = "jobs", Queue = "work" };

    private readonly ManualTimeProvider _clock = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync(new TestBrokerOptions { TimeProvider = _clock });
        await _broker.Client.Admin.CreateTopicAsync("jobs", partitions: 2);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Handled_message_is_completed_and_not_delivered_after_a_restart()
    {
        await SendAsync("a", "b", "c", "d");
        var handled = new List<string>();
        await using (var consumer = Consumer())
        {
            using var stop = new CancellationTokenSource();
            var running = consumer.RunAsync((message, _) =>
            {
                lock (handled)
                {
                    handled.Add(message.Value);
                    if (handled.Count == 3)
                        throw new InvalidOperationException("The third one fails.");
                }
                return ValueTask.CompletedTask;
            }, concurrency: 2, stop.Token);
            await UntilAsync(() => { lock (handled) return handled.Count == 5; });
            await UntilAsync(async () => await AcceptedAsync() == 4);
            await stop.CancelAsync();
            await running.WaitAsync(Patience);
        }
        Assert.Equal(["a", "b", "c", "d"], handled.Distinct().Order());
        await _broker.RestartAsync();
        await SendAsync("e");
        await using var next = Consumer();
        Assert.Equal("e", (await next.ReceiveAsync().AsTask().WaitAsync(Patience)).Value);
    }

    [Fact]
    public async Task Message_at_hand_is_received_without_a_wait()
    {
        await SendAsync("a");
        await using var consumer = Consumer();
        QueueMessage<string, string>? message = null;
        await UntilAsync(async () => (message = await consumer.ReceiveAsync(TimeSpan.Zero)) is not null);
        Assert.Equal("a", message!.Value);
        Assert.Null(await consumer.ReceiveAsync(TimeSpan.Zero));
    }

    [Fact]
    public async Task Message_for_next_year_comes_after_a_year_of_the_brokers_clock()
    {
        await _broker.Client.Admin.CreateTopicAsync("years", 1, new Dictionary<string, string> { ["retention.ms"] = "-1" });
        await using var consumer = Consumer(Options with { Topic = "years", Create = new QueueOptions { HasRecordTimes = true } });
        var due = (_clock.GetUtcNow() + TimeSpan.FromDays(365)).ToUnixTimeMilliseconds();
        await using (var producer = _broker.Client.CreateProducer<string, string>())
        {
            await producer.SendAsync(new ProducerRecord<string, string>("years", "a", "a")
            {
                Headers = new[] { RecordHeaders.Text(QueueHeaders.DeliverAt, due.ToString(CultureInfo.InvariantCulture)) },
            }).AsTask().WaitAsync(Patience);
        }
        var next = consumer.ReceiveAsync().AsTask();
        await UntilAsync(async () => (await DescribeAsync("years", 0)).Deferred == 1);
        _clock.Jump(TimeSpan.FromDays(365) - TimeSpan.FromSeconds(1));
        Assert.False(next.IsCompleted);
        await UntilAsync(() =>
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            return next.IsCompleted;
        });
        Assert.Equal(("a", 1), ((await next).Value, (await next).Deliveries));
    }

    [Fact]
    public async Task Message_that_is_abandoned_for_an_hour_comes_after_an_hour()
    {
        await SendAsync("a");
        await using var consumer = Consumer();
        var message = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        Assert.Equal(("a", 1, 0, false), (message.Value, message.Deliveries, message.Failures, message.IsRedelivered));
        await message.AbandonAsync(TimeSpan.FromHours(1)).WaitAsync(Patience);
        var next = consumer.ReceiveAsync().AsTask();
        _clock.Advance(TimeSpan.FromMinutes(59));
        Assert.False(next.IsCompleted);
        await UntilAsync(() =>
        {
            _clock.Advance(TimeSpan.FromSeconds(10));
            return next.IsCompleted;
        });
        Assert.Equal(("a", true), ((await next).Value, (await next).IsRedelivered));
        Assert.InRange((await next).Failures, 1, int.MaxValue);
    }

    [Fact]
    public async Task Message_with_a_delay_out_of_range_is_refused_and_still_held()
    {
        await SendAsync("a");
        await using var consumer = Consumer();
        var message = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => message.AbandonAsync(TimeSpan.FromSeconds(-1)));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => message.ReleaseAsync(TimeSpan.FromDays(367)));
        await message.CompleteAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task Message_whose_settlement_was_lost_comes_again()
    {
        await _broker.Client.Admin.CreateTopicAsync("one", partitions: 1);
        await SendToAsync("one", "a");
        var queues = QueuesProxy.Of<LostSettlement>(_broker.Client.Broker.Queues);
        await using var consumer = new OrleansMqClient(new WithQueues(_broker.Client.Broker, (IQueues)(object)queues))
            .CreateQueueConsumer<string, string>(Options with { Topic = "one", Credit = 1, TimeProvider = _clock });
        using var stop = new CancellationTokenSource();
        var handled = 0;
        var running = consumer.RunAsync((_, _) =>
        {
            Interlocked.Increment(ref handled);
            return ValueTask.CompletedTask;
        }, cancellationToken: stop.Token);
        await UntilAsync(() => Volatile.Read(ref handled) > 0);
        await UntilAsync(async () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(20));
            return (await DescribeAsync("one", 0)).Accepted == 1;
        });
        Assert.Equal(2, handled);
        await stop.CancelAsync();
        await running.WaitAsync(Patience);
    }

    [Fact]
    public async Task Consumer_holds_as_many_messages_as_its_credit()
    {
        await _broker.Client.Admin.CreateTopicAsync("one", partitions: 1);
        await SendToAsync("one", "a", "b", "c");
        await using var consumer = Consumer(Options with { Topic = "one", Credit = 2 });
        var first = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        var second = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        Assert.Equal(("a", "b"), (first.Value, second.Value));
        var third = consumer.ReceiveAsync().AsTask();
        Assert.Equal(2, (await DescribeAsync("one", 0)).Held);
        Assert.False(third.IsCompleted);
        await second.CompleteAsync().WaitAsync(Patience);
        Assert.Equal("c", (await third.WaitAsync(Patience)).Value);
    }

    [Fact]
    public async Task Messages_of_a_disposed_consumer_go_to_the_next()
    {
        await SendAsync("a");
        var consumer = Consumer();
        var message = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        await consumer.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => consumer.ReceiveAsync().AsTask());
        Assert.Equal(ErrorCode.UnknownMemberId, (await Assert.ThrowsAsync<BrokerException>(() => message.CompleteAsync())).Code);
        await using var next = Consumer();
        Assert.Equal("a", (await next.ReceiveAsync().AsTask().WaitAsync(Patience)).Value);
    }

    [Fact]
    public async Task Consumer_that_is_disposed_while_it_attaches_holds_nothing()
    {
        await _broker.Client.Admin.CreateTopicAsync("one", partitions: 1);
        var queues = QueuesProxy.Of<LateAttachment>(_broker.Client.Broker.Queues);
        var consumer = new OrleansMqClient(new WithQueues(_broker.Client.Broker, (IQueues)(object)queues))
            .CreateQueueConsumer<string, string>(Options with { Topic = "one", TimeProvider = _clock });
        await UntilAsync(async () => await ConsumersAsync() == 1);
        await consumer.DisposeAsync().AsTask().WaitAsync(Patience);
        queues.Answers.SetResult();
        await UntilAsync(async () => await ConsumersAsync() == 0);

        async Task<int> ConsumersAsync() => (await _broker.Client.Broker.Queues.ListAsync(new TopicPartition("one", 0)))
            .Sum(static queue => queue.Consumers);
    }

    [Fact]
    public async Task Consumer_is_disposed_while_its_topic_cannot_be_looked_up()
    {
        await _broker.Client.Admin.CreateTopicAsync("one", partitions: 1);
        var broker = new LateLookup(_broker.Client.Broker);
        var consumer = new OrleansMqClient(broker)
            .CreateQueueConsumer<string, string>(Options with { Topic = "one", TimeProvider = _clock });
        await UntilAsync(async () => await ConsumersAsync() == 1);
        await UntilAsync(() =>
        {
            _clock.Advance(TimeSpan.FromMinutes(1));
            return broker.Asked.Task.IsCompleted;
        });
        var disposing = consumer.DisposeAsync().AsTask();
        broker.Fails.SetResult();
        await disposing.WaitAsync(Patience);
        Assert.Equal(0, await ConsumersAsync());

        async Task<int> ConsumersAsync() => (await _broker.Client.Broker.Queues.ListAsync(new TopicPartition("one", 0)))
            .Sum(static queue => queue.Consumers);
    }

    [Fact]
    public async Task Lock_ends_after_its_duration_but_not_while_the_handler_runs()
    {
        var options = Options with { LockDuration = TimeSpan.FromSeconds(30), SessionTimeout = TimeSpan.FromMinutes(5) };
        await SendAsync("a");
        await using (var consumer = Consumer(options))
        {
            await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
            var again = consumer.ReceiveAsync().AsTask();
            await UntilAsync(() =>
            {
                _clock.Advance(TimeSpan.FromSeconds(5));
                return again.IsCompleted;
            });
            Assert.InRange((await again).Failures, 1, int.MaxValue);
        }
        var queues = QueuesProxy.Of<RenewalCounter>(_broker.Client.Broker.Queues);
        await using var handling = new OrleansMqClient(new WithQueues(_broker.Client.Broker, (IQueues)(object)queues))
            .CreateQueueConsumer<string, string>(options with { TimeProvider = _clock });
        using var stop = new CancellationTokenSource();
        var finish = new TaskCompletionSource();
        var deliveries = new List<int>();
        var running = handling.RunAsync(async (message, _) =>
        {
            deliveries.Add(message.Deliveries);
            await finish.Task;
        }, cancellationToken: stop.Token);
        await UntilAsync(() => deliveries.Count > 0);
        for (var i = 1; i <= 4; i++)
        {
            var waits = 0;
            await UntilAsync(() =>
            {
                // A renewal that is due has time to be answered.
                if (++waits % 100 == 0)
                    _clock.Advance(TimeSpan.FromSeconds(1));
                return queues.Renewals >= i;
            });
        }
        finish.SetResult();
        await UntilAsync(async () => await AcceptedAsync() == 1);
        await stop.CancelAsync();
        await running.WaitAsync(Patience);
        Assert.Single(deliveries);
    }

    [Fact]
    public async Task Renewals_do_not_wait_for_settlements_that_are_being_stored()
    {
        await _broker.Client.Admin.CreateTopicAsync("one", partitions: 1);
        await SendToAsync("one", "a", "b");
        var queues = QueuesProxy.Of<SlowSettlement>(_broker.Client.Broker.Queues);
        await using var consumer = new OrleansMqClient(new WithQueues(_broker.Client.Broker, (IQueues)(object)queues))
            .CreateQueueConsumer<string, string>(Options with
            {
                Topic = "one",
                LockDuration = TimeSpan.FromHours(1),
                TimeProvider = _clock,
            });
        var first = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        var second = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        var completing = first.CompleteAsync();
        await second.RenewAsync().WaitAsync(Patience);
        Assert.False(completing.IsCompleted);
        queues.Stored.SetResult();
        await completing.WaitAsync(Patience);
        await second.CompleteAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task Locks_are_renewed_while_another_partition_does_not_answer()
    {
        await using (var producer = _broker.Client.CreateProducer<string, string>())
        {
            foreach (var partition in (int[])[0, 1])
                await producer.SendAsync(new("jobs", "k", $"{partition}") { Partition = partition }).AsTask().WaitAsync(Patience);
        }
        var queues = QueuesProxy.Of<StalledRenewals>(_broker.Client.Broker.Queues);
        queues.Partition = new TopicPartition("jobs", 0);
        await using var consumer = new OrleansMqClient(new WithQueues(_broker.Client.Broker, (IQueues)(object)queues))
            .CreateQueueConsumer<string, string>(Options with { LockDuration = TimeSpan.FromSeconds(3), TimeProvider = _clock });
        using var stop = new CancellationTokenSource();
        var (handling, finish) = (0, new TaskCompletionSource());
        var running = consumer.RunAsync(async (_, _) =>
        {
            Interlocked.Increment(ref handling);
            await finish.Task;
        }, concurrency: 2, stop.Token);
        await UntilAsync(() => Volatile.Read(ref handling) == 2);
        var waits = 0;
        await UntilAsync(() =>
        {
            // A renewal that is due has time to be answered.
            if (++waits % 50 == 0)
                _clock.Advance(TimeSpan.FromSeconds(1));
            return queues.Stalled > 0 && queues.Answered >= 3;
        });
        queues.Answers.SetResult();
        finish.SetResult();
        await stop.CancelAsync();
        await running.WaitAsync(Patience);
    }

    [Fact]
    public async Task What_was_handled_is_stored_before_the_consumer_gives_the_rest_back()
    {
        await _broker.Client.Admin.CreateTopicAsync("one", partitions: 1);
        await SendToAsync("one", "a", "b", "c", "d", "e");
        var queues = QueuesProxy.Of<SlowSettlement>(_broker.Client.Broker.Queues);
        var consumer = new OrleansMqClient(new WithQueues(_broker.Client.Broker, (IQueues)(object)queues))
            .CreateQueueConsumer<string, string>(Options with { Topic = "one" });
        using var stop = new CancellationTokenSource();
        var handled = 0;
        // Nothing waits for a completion that is being stored.
        var running = consumer.RunAsync((_, cancellationToken) =>
            Interlocked.Increment(ref handled) < 5 ? ValueTask.CompletedTask : new ValueTask(Task.Delay(-1, cancellationToken)),
            cancellationToken: stop.Token);
        await UntilAsync(() => Volatile.Read(ref handled) == 5);
        await stop.CancelAsync();
        var disposing = consumer.DisposeAsync().AsTask();
        Assert.False(running.IsCompleted);
        queues.Stored.SetResult();
        await running.WaitAsync(Patience);
        await disposing.WaitAsync(Patience);
        await UntilAsync(async () => (await DescribeAsync("one", 0)).Held == 0);
        Assert.Equal(4, (await DescribeAsync("one", 0)).Accepted);
    }

    [Fact]
    public async Task Message_is_settled_once()
    {
        await SendAsync("a");
        await using var consumer = Consumer();
        var message = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
        await message.AbandonAsync().WaitAsync(Patience);
        await Assert.ThrowsAsync<InvalidOperationException>(() => message.CompleteAsync());
    }

    [Fact]
    public async Task Refusal_that_no_retry_mends_reaches_the_caller()
    {
        await using var consumer = Consumer(Options with { Create = new QueueOptions { MaxFailures = -1 } });
        var received = await Assert.ThrowsAsync<BrokerException>(() => consumer.ReceiveAsync().AsTask().WaitAsync(Patience));
        var ran = await Assert.ThrowsAsync<BrokerException>(() => consumer.RunAsync((_, _) => ValueTask.CompletedTask).WaitAsync(Patience));
        Assert.Equal((ErrorCode.InvalidRequest, ErrorCode.InvalidRequest), (received.Code, ran.Code));
    }

    [Fact]
    public async Task Partition_without_room_for_the_queue_holds_up_none_of_the_others()
    {
        await SendAsync("a", "b", "c", "d", "e", "f", "g", "h");
        var queues = QueuesProxy.Of<FullPartitions>(_broker.Client.Broker.Queues);
        queues.Full = [0];
        await using (var consumer = Over(queues))
        {
            await UntilAsync(() => queues.Refused >= 2 || Advance());
            var message = await consumer.ReceiveAsync().AsTask().WaitAsync(Patience);
            Assert.Equal(1, message.TopicPartition.Partition);
            await message.CompleteAsync().WaitAsync(Patience);
            queues.Full = [];
            await UntilAsync(async () => !Advance() && (await _broker.Client.Broker.Queues.ListAsync(new TopicPartition("jobs", 0)))
                .Sum(static queue => queue.Consumers) == 1);
        }
        queues.Full = [0, 1];
        await using var refused = Over(queues);
        Assert.Equal(ErrorCode.PolicyViolation, (await Assert.ThrowsAsync<BrokerException>(() => refused.ReceiveAsync().AsTask()
            .WaitAsync(Patience))).Code);

        IQueueConsumer<string, string> Over(FullPartitions full) => new OrleansMqClient(new WithQueues(_broker.Client.Broker,
            (IQueues)(object)full)).CreateQueueConsumer<string, string>(Options with { TimeProvider = _clock });

        bool Advance()
        {
            _clock.Advance(TimeSpan.FromMilliseconds(20));
            return false;
        }
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        Assert.Throws<ArgumentException>(() => Consumer(Options with { Credit = 0 }));
        Assert.Throws<ArgumentException>(() => Consumer(Options with { MaxWait = TimeSpan.FromMinutes(1) }));
        Assert.Throws<ArgumentException>(() => Consumer(Options with { Queue = "" }));
        Assert.Throws<ArgumentException>(() => Consumer(Options with { LockDuration = TimeSpan.FromMilliseconds(1) }));
        Assert.Throws<ArgumentException>(() => Consumer(Options with { LockDuration = TimeSpan.FromDays(2) }));
    }

    private IQueueConsumer<string, string> Consumer(QueueConsumerOptions? options = null) =>
        _broker.Client.CreateQueueConsumer<string, string>((options ?? Options) with { TimeProvider = _clock });

    private Task SendAsync(params string[] values) => SendToAsync("jobs", values);

    private async Task SendToAsync(string topic, params string[] values)
    {
        await using var producer = _broker.Client.CreateProducer<string, string>();
        foreach (var value in values)
            await producer.SendAsync(new ProducerRecord<string, string>(topic, value, value)).AsTask().WaitAsync(Patience);
    }

    private static Task UntilAsync(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var deadline = DateTime.UtcNow + Patience; !await condition(); await Task.Delay(1))
            Assert.True(DateTime.UtcNow < deadline, "The condition was not met in time.");
    }

    private async Task<QueueDescription> DescribeAsync(string topic, int partition) =>
        await _broker.Client.Broker.Queues.DescribeAsync(new TopicPartition(topic, partition), "work");

    private async Task<long> AcceptedAsync() => (await DescribeAsync("jobs", 0)).Accepted + (await DescribeAsync("jobs", 1)).Accepted;

    private sealed class WithQueues(IBroker inner, IQueues queues) : ForwardingBroker(inner)
    {
        public override IQueues Queues => queues;
    }

    /// <summary>Answers the first look-up of the topic, and fails the second one when a test says so, whether it is cancelled or
    /// not.</summary>
    private sealed class LateLookup(IBroker inner) : ForwardingBroker(inner)
    {
        private int _lookups;

        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public TaskCompletionSource Fails { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override async ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            if (Interlocked.Increment(ref _lookups) == 1)
                return await base.GetTopicAsync(topic, cancellationToken);
            Asked.TrySetResult();
            await Fails.Task;
            throw new BrokerException(ErrorCode.BrokerNotAvailable, "It is stopping.");
        }
    }

    /// <summary>The queues of another broker, but for what a test changes.</summary>
    public abstract class QueuesProxy : DispatchProxy
    {
        protected IQueues Inner { get; private set; } = null!;

        public static T Of<T>(IQueues inner) where T : QueuesProxy
        {
            var made = (T)(object)Create<IQueues, T>();
            made.Inner = inner;
            return made;
        }
    }

    /// <summary>Answers attachments late. The answer to a call that is cancelled is dropped, as Orleans does.</summary>
    public class LateAttachment : QueuesProxy
    {
        public TaskCompletionSource Answers { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        protected override object? Invoke(MethodInfo? method, object?[]? arguments) => method!.Name == nameof(IQueues.AttachAsync)
            ? AttachAsync((ValueTask<Guid>)method.Invoke(Inner, arguments)!, (CancellationToken)arguments![3]!)
            : method.Invoke(Inner, arguments);

        private async ValueTask<Guid> AttachAsync(ValueTask<Guid> attaching, CancellationToken cancellationToken)
        {
            var consumer = await attaching;
            await Answers.Task.WaitAsync(cancellationToken);
            return consumer;
        }
    }

    /// <summary>Has no room for the queue in some partitions.</summary>
    public class FullPartitions : QueuesProxy
    {
        private int _refused;

        public IReadOnlyList<int> Full { get; set; } = [];
        public int Refused => Volatile.Read(ref _refused);

        protected override object? Invoke(MethodInfo? method, object?[]? arguments)
        {
            if (method!.Name is not (nameof(IQueues.AttachAsync) or nameof(IQueues.CreateAsync))
                || !Full.Contains(((TopicPartition)arguments![0]!).Partition))
                return method.Invoke(Inner, arguments);
            Interlocked.Increment(ref _refused);
            var full = new BrokerException(ErrorCode.PolicyViolation, "It has as many queues as the broker allows.");
            return method.Name == nameof(IQueues.AttachAsync) ? ValueTask.FromException<Guid>(full)
                : ValueTask.FromException<QueueDescription>(full);
        }
    }

    /// <summary>Loses the first request to settle.</summary>
    public class LostSettlement : QueuesProxy
    {
        private int _requests;

        protected override object? Invoke(MethodInfo? method, object?[]? arguments) =>
            method!.Name == nameof(IQueues.SettleAsync) && Interlocked.Increment(ref _requests) == 1
                ? ValueTask.FromException<IReadOnlyList<ErrorCode>>(new BrokerException(ErrorCode.RequestTimedOut, "It was lost."))
                : method.Invoke(Inner, arguments);
    }

    /// <summary>Stores what is settled late.</summary>
    public class SlowSettlement : QueuesProxy
    {
        public TaskCompletionSource Stored { get; } = new();

        protected override object? Invoke(MethodInfo? method, object?[]? arguments) => method!.Name == nameof(IQueues.SettleAsync)
            && ((IReadOnlyList<QueueSettlement>)arguments![2]!).Any(settlement => settlement.Action != QueueAction.Renew)
                ? LaterAsync(method, arguments) : method.Invoke(Inner, arguments);

        private async ValueTask<IReadOnlyList<ErrorCode>> LaterAsync(MethodInfo method, object?[]? arguments)
        {
            await Stored.Task;
            return await (ValueTask<IReadOnlyList<ErrorCode>>)method.Invoke(Inner, arguments)!;
        }
    }

    /// <summary>Leaves the renewals of one partition without an answer, and counts those of the others.</summary>
    public class StalledRenewals : QueuesProxy
    {
        private int _stalled;
        private int _answered;

        public TopicPartition Partition { get; set; }
        public TaskCompletionSource Answers { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public int Stalled => Volatile.Read(ref _stalled);
        public int Answered => Volatile.Read(ref _answered);

        protected override object? Invoke(MethodInfo? method, object?[]? arguments) => method!.Name == nameof(IQueues.SettleAsync)
            && ((IReadOnlyList<QueueSettlement>)arguments![2]!).All(settlement => settlement.Action == QueueAction.Renew)
                ? RenewAsync(method, arguments) : method.Invoke(Inner, arguments);

        private async ValueTask<IReadOnlyList<ErrorCode>> RenewAsync(MethodInfo method, object?[] arguments)
        {
            if ((TopicPartition)arguments[0]! == Partition)
            {
                Interlocked.Increment(ref _stalled);
                await Answers.Task;
            }
            var errors = await (ValueTask<IReadOnlyList<ErrorCode>>)method.Invoke(Inner, arguments)!;
            Interlocked.Increment(ref _answered);
            return errors;
        }
    }

    /// <summary>Counts the renewals that were answered.</summary>
    public class RenewalCounter : QueuesProxy
    {
        private int _renewals;

        public int Renewals => Volatile.Read(ref _renewals);

        protected override object? Invoke(MethodInfo? method, object?[]? arguments)
        {
            var result = method!.Invoke(Inner, arguments);
            return method.Name == nameof(IQueues.SettleAsync) ? CountAsync((ValueTask<IReadOnlyList<ErrorCode>>)result!,
                (IReadOnlyList<QueueSettlement>)arguments![2]!) : result;
        }

        private async ValueTask<IReadOnlyList<ErrorCode>> CountAsync(ValueTask<IReadOnlyList<ErrorCode>> settling,
            IReadOnlyList<QueueSettlement> settlements)
        {
            var errors = await settling;
            Interlocked.Add(ref _renewals, settlements.Count(settlement => settlement.Action == QueueAction.Renew));
            return errors;
        }
    }
}
